"""What is written is run: every documented command exists, every table says how it was made."""

from __future__ import annotations

import ast
import importlib
import itertools
import re
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from documents import ROOT, SHELL, commands, problem
from toy import PROGRESS, batch

import limbeck
from limbeck.anatomy import Subset
from limbeck.methods import build
from limbeck.methods.base import Context, Method, NetworkSettings

DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)
EVIDENCE = re.compile(r"^\s*(?:\$ )?(?:\.venv/bin/)?(limbeck|make|python) \S+", re.MULTILINE)


def documents_with(found: Callable[[str], Iterable[object]]) -> pytest.MarkDecorator:
    """Each document in which there is something of the kind."""
    named = [path for path in DOCUMENTS if any(True for _ in found(path.read_text()))]
    return pytest.mark.parametrize("document", named, ids=lambda path: str(path.relative_to(ROOT)))


@documents_with(lambda text: commands(text, "limbeck"))
def test_every_command_in_a_document_exists(document: Path) -> None:
    problems = {line: problem(line) for line in commands(document.read_text(), "limbeck")}
    assert not {line: what for line, what in problems.items() if what}


def test_the_readme_shows_the_main_path() -> None:
    used = [line.split()[1] for line in commands((ROOT / "README.md").read_text(), "limbeck")]
    assert {"phantom", "import", "inspect", "train", "evaluate", "predict", "methods"} <= set(used)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("limbeck trian gkd", "no command"),
        ("limbeck train gdk --data x", "no method"),
        ("limbeck train gkd --temprature 2", "no option"),
        ("limbeck train supervised --temperature 2", "no option"),
        ("limbeck train gkd --steps many", "whole number"),
        ("limbeck train gkd --config configs/methods/gdk.yaml", "no file"),
        ("limbeck train gkd --config configs/methods/gkd.yaml --temperature hot", "a number"),
        ("limbeck train gkd --data cohort --subset flair --out runs", "learns from a teacher"),
        ("limbeck train mtcmkd --data cohort --subset flair+t1ce --out runs", "one sequence"),
        ("limbeck predict RUN --flare scan.nii.gz -o mask.nii.gz", "no option"),
        ("limbeck predict RUN --flair scan.nii.gz", "required"),
        ("limbeck report -o page.html", "required"),
        ("limbeck import --normalization", "no option"),
        ("limbeck import DATA --out cohort --normalisation rew", "invalid choice"),
    ],
)
def test_a_wrong_command_would_be_noticed(line: str, found: str) -> None:
    assert list(commands(f"Text.\n```\n$ {line}  # why\n```\n", "limbeck")) == [f"{line}  # why"]
    assert list(commands(f"Text `{line}` more.", "limbeck")) == [line]
    assert found in str(problem(line))


def test_words_that_a_block_names_are_put_in() -> None:
    block = 'both=(--data "a b" --out c)\n\nlimbeck train dropout "${both[@]}" --steps 2  # why\n'
    assert list(commands(f"```\n{block}```\n", "limbeck")) == [
        'limbeck train dropout --data "a b" --out c --steps 2  # why'
    ]


def targets() -> set[str]:
    return set(re.findall(r"^([a-z][\w-]*):(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE))


@documents_with(lambda text: commands(text, "make"))
def test_every_make_target_in_a_document_exists(document: Path) -> None:
    named = {line.split()[1] for line in commands(document.read_text(), "make")}
    assert named <= targets()


def test_the_makefile_has_the_targets_that_everybody_uses() -> None:
    assert {"demo", "test", "lint", "bench"} <= targets()
    assert {"demo", "test"} <= {line.split()[1] for line in commands((ROOT / "README.md").read_text(), "make")}


@documents_with(PYTHON.findall)
def test_every_python_block_uses_names_that_exist(document: Path) -> None:
    for block in PYTHON.findall(document.read_text()):
        for node in ast.walk(ast.parse(textwrap.dedent(block))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "limbeck":
                assert hasattr(limbeck, node.attr), node.attr
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("limbeck"):
                module = importlib.import_module(str(node.module))
                assert all(hasattr(module, name.name) for name in node.names)


def test_the_method_that_the_guide_writes_is_one() -> None:
    (block,) = PYTHON.findall((ROOT / "docs/how-to/add-a-method.md").read_text())
    written: dict[str, Any] = {"__name__": "mine"}
    exec(compile(block, "mine", "exec", dont_inherit=True), written)
    teacher = build("supervised", NetworkSettings(width=8), Context((Subset.parse("all"),)))
    context = Context((Subset.parse("flair"),), {"teacher": teacher})
    method: Method[Any] = written["Mine"](written["MineSettings"](width=8), context)
    data = batch(context.subsets)
    ((group, terms),) = next(iter(method.train().training_step(data, PROGRESS))).items()
    assert group == "main" and list(terms) == ["segmentation", "soft_labels"]
    sum(terms.values()).backward()
    assert all(parameter.grad is not None for parameter in method.parameters())
    assert method.eval().predict(data.view).shape[1] == method.target.channels
    assert not method.frozen["teacher"].training


def unexplained(text: str) -> bool:
    """Whether a document holds a table of results and no command that makes it again."""
    has_table = re.search(r"^\|(?: *:?-+:? *\|)+\s*$", text, re.MULTILINE) is not None
    told = any(EVIDENCE.search(block) for block in SHELL.findall(text)) or bool(
        re.search(r"`(?:\.venv/bin/)?(?:limbeck|make|python) [^`\n]+`", text)
    )
    return has_table and not told


def test_every_table_of_results_says_how_it_was_made() -> None:
    table = "| run | dice |\n|---|---|\n| a | 0.5 |\n"
    assert unexplained(table)
    assert not unexplained(f"{table}\n```\nmake real\n```\n")
    assert not unexplained(f"Made by `make bench`.\n\n{table}")
    results = [*sorted((ROOT / "docs" / "results").rglob("*.md")), ROOT / "README.md"]
    # A README's map of folders is a table too, and so is held to the same.
    assert not [str(path.relative_to(ROOT)) for path in results if unexplained(path.read_text())]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_table_is_torn_and_no_machine_is_named(document: Path) -> None:
    lines = document.read_text().splitlines()
    torn = [after for row, after in itertools.pairwise(lines) if row.startswith("|") and after and after[0] != "|"]
    assert not [line for line in torn if line.strip()]
    assert not [line for line in lines if re.search(r"(?<![\w.])/(?:tmp|work|root|home/\w+)/", line)]
