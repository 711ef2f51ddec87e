"""The house rules that can be measured."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from limbeck.methods import METHODS

ROOT = Path(__file__).resolve().parents[1]
SRC = ROOT / "src" / "limbeck"
SOURCES = sorted(SRC.rglob("*.py"))
WRITTEN = sorted(path for room in ("src", "tests", "benchmarks", "examples") for path in (ROOT / room).rglob("*.py"))
ROOMS_WITHOUT_A_SUBJECT = {"utils", "util", "misc", "common", "helpers", "core", "tools"}
HEAVY = ("torch", "lightning", "monai")
METHOD_MAY_IMPORT = {
    *("anatomy", "batch", "target", "errors", "normalisation", "overlap", "ranks"),
    *("networks", "losses", "methods.base"),
}


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(SRC.parent).with_suffix("").parts).removesuffix(".__init__")


# --- what a source text does ------------------------------------------------------------------------------------------


def imported(tree: ast.AST) -> Iterator[str]:
    """Full dotted names, so that `from limbeck.methods import gkd` is found as `limbeck.methods.gkd`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module or ''}.{alias.name}" for alias in node.names)


def long_functions(tree: ast.AST, most: int = 60) -> list[str]:
    return [
        f"{node.name} ({(node.end_lineno or 0) - node.lineno + 1} lines)"
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (node.end_lineno or 0) - node.lineno >= most
    ]


def privileged_looks(tree: ast.AST) -> list[str]:
    """Predictions that reach for `complete`, which only a training step may see."""
    return [
        f"{node.name}, line {look.lineno}"
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and "predict" in node.name
        for look in ast.walk(node)
        if isinstance(look, ast.Attribute) and look.attr == "complete"
    ]


def beyond_a_method(tree: ast.AST) -> list[str]:
    """Imports of this package that a method's file may not have."""
    inside = [name.removeprefix("limbeck.") for name in imported(tree) if name.startswith("limbeck.")]
    return [name for name in inside if not any(f"{name}.".startswith(f"{room}.") for room in METHOD_MAY_IMPORT)]


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (long_functions, "def f():\n" + " x = 1\n" * 60),
        (privileged_looks, "def predict(self, batch):\n return self.net(batch.complete)"),
        (beyond_a_method, "from limbeck.methods import gkd"),
        (beyond_a_method, "from limbeck.methods.gkd import GKD"),
        (beyond_a_method, "import limbeck.training.trainer"),
        (beyond_a_method, "from limbeck.data.case import Case"),
    ],
)
def test_the_checks_see_what_they_forbid(check, text: str) -> None:
    assert check(ast.parse(text))


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (long_functions, "def f():\n" + " x = 1\n" * 59),
        (privileged_looks, "def training_step(self, batch):\n return batch.complete"),
        (
            beyond_a_method,
            "from limbeck.methods.base import Method\nfrom limbeck.losses import soft_dice\nimport torch",
        ),
    ],
)
def test_the_checks_let_pass_what_is_right(check, text: str) -> None:
    assert not check(ast.parse(text))


# --- the house --------------------------------------------------------------------------------------------------------


def test_imports_go_down_one_staircase() -> None:
    command = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True, no_logo=True))"
    done = subprocess.run([sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_room_stands_on_the_staircase() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    placed = {
        name.strip(" ()").removeprefix("limbeck.") for layer in layers for name in layer.replace(":", "|").split("|")
    }
    rooms = {path.stem for path in SRC.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert rooms - {"__init__", "__main__"} <= placed


def tree_of(path: Path) -> ast.AST:
    return ast.parse(path.read_text(encoding="utf-8"))


def test_files_and_functions_are_short() -> None:
    lines = {named(path): len(path.read_text(encoding="utf-8").splitlines()) for path in WRITTEN}
    assert {name: count for name, count in lines.items() if count > 400} == {}
    assert {named(path): found for path in WRITTEN if (found := long_functions(tree_of(path)))} == {}


def test_every_room_has_a_subject() -> None:
    rooms = {named(path): path.relative_to(ROOT).with_suffix("").parts for path in WRITTEN}
    assert {name: parts for name, parts in rooms.items() if ROOMS_WITHOUT_A_SUBJECT & set(parts)} == {}


def test_prediction_takes_no_privileged_look() -> None:
    assert {named(path): found for path in SOURCES if (found := privileged_looks(tree_of(path)))} == {}


def test_methods_are_strangers_to_one_another() -> None:
    for name in METHODS:
        assert beyond_a_method(tree_of(SRC / "methods" / f"{name}.py")) == [], name


LIGHT = [
    "limbeck",
    "limbeck.anatomy",
    "limbeck.cli",
    "limbeck.durable",
    "limbeck.errors",
    "limbeck.evaluation.published",
    "limbeck.evaluation.table",
    "limbeck.methods",
    *(module_name(path) for path in sorted((SRC / "report").glob("*.py"))),
]


def test_what_answers_at_once_imports_no_torch() -> None:
    """One after the other in one process, each with what it is the first to bring."""
    command = f"""
import importlib, json, sys
heavy = {{}}
for name in {LIGHT!r}:
    before = set(sys.modules)
    importlib.import_module(name)
    heavy[name] = [found for found in {HEAVY!r} if found in sys.modules.keys() - before]
print(json.dumps(heavy))
"""
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {name: [] for name in LIGHT}
