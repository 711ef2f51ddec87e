"""What is written is run: every YAML builds, every documented command exists, every table says how it was made."""

from __future__ import annotations

import argparse
import ast
import importlib
import re
import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import limbeck
from limbeck.cli import COMMANDS, Parser
from limbeck.commands.settings import PLACES, Settings
from limbeck.errors import LimbeckError
from limbeck.experiment import plan
from limbeck.methods import METHODS, find

ROOT = Path(__file__).parents[1]
CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
# What a recipe leaves to the command: which part of the experiment, and where and beside what it runs.
FREE = {"fold", "seed", "device", "precision", "workers"}
DISTILLATION = {
    *("segmentation_weight", "soft_label_weight", "region_attention_weight"),
    *("temperature", "t2_scale", "mask_resize"),
}
SHELL = re.compile(r"```(?:sh|bash|console|text)?\n(.*?)```", re.DOTALL)
PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)
INLINE = re.compile(r"`((?:limbeck|make) [^`\n]+)`")
EVIDENCE = re.compile(r"^\s*(?:\$ )?(?:\.venv/bin/)?(limbeck|make|python) \S+", re.MULTILINE)


def methods_of(config: Path) -> list[str]:
    return list(METHODS) if config.name == "common.yaml" else [config.stem]


@pytest.mark.parametrize(
    ("config", "method"),
    [(config, method) for config in CONFIGS for method in methods_of(config)],
    ids=lambda value: value if isinstance(value, str) else value.stem,
)
def test_every_recipe_builds_and_leaves_nothing_to_defaults(config: Path, method: str) -> None:
    settings = Settings(method)
    _, parts = settings.parse(["--config", str(config)])
    kind = find(method)
    experiment = plan(method, None if kind.generalist else "flair", Path("teacher") if kind.needs else None, parts)
    written = yaml.safe_load(config.read_text())
    described = experiment.to_json()
    assert {name: described[name] for name in written} == written
    expected = set(settings.types) - FREE
    if config.name == "common.yaml":
        expected -= DISTILLATION
    assert set(written) == expected


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_every_value_of_a_recipe_has_its_source(config: Path) -> None:
    for line in config.read_text().splitlines():
        if re.match(r"\w+:", line) and not line.startswith(("save_every", "log_every")):
            assert re.search(r"#\s+\w+", line), line


def test_every_method_has_its_recipe_and_every_recipe_its_method() -> None:
    assert {path.stem for path in (ROOT / "configs" / "methods").iterdir()} == set(METHODS)


def test_the_recipe_of_gkd_is_the_paper_s() -> None:
    """Section 1.4 of the specification, from the paper's text; cases are two thirds of 285."""
    recipe = yaml.safe_load((ROOT / "configs/methods/gkd.yaml").read_text())
    stated = {
        **{"optimiser": "adam", "learning_rate": 1e-4, "schedule": "poly", "folds": 3, "patch": [128, 192, 160]},
        **{"soft_label_weight": 0.75, "region_attention_weight": 0.9, "segmentation_weight": 1.0},
    }
    adopted = {"batch": 1, "weight_decay": 1e-5, "width": 16, "augment": False, "foreground": 0.0}
    assert {name: recipe[name] for name in stated | adopted} == stated | adopted
    assert recipe["epoch_steps"] == 285 * 2 // 3 // recipe["batch"]
    assert recipe["steps"] == 200 * recipe["epoch_steps"]


@pytest.mark.parametrize("other", ["supervised", "dropout"])
def test_yardsticks_have_the_budget_of_what_they_measure(other: str) -> None:
    gkd, yardstick = (yaml.safe_load((ROOT / f"configs/methods/{name}.yaml").read_text()) for name in ("gkd", other))
    assert {name: value for name, value in gkd.items() if name not in DISTILLATION} == yardstick


def commands(text: str, program: str) -> Iterator[str]:
    """Lines of a document's blocks, and inline code, that call a program."""
    for block in SHELL.findall(text):
        joined = block.replace("\\\n", " ")
        for line in joined.splitlines():
            bare = line.strip().removeprefix("$ ").removeprefix(".venv/bin/")
            if bare.startswith(f"{program} "):
                yield bare
    yield from (code for code in INLINE.findall(text) if code.startswith(f"{program} "))


def problem(line: str) -> str | None:
    """Why a line that calls limbeck could not run as it stands, with its placeholders for files and runs."""
    words = shlex.split(line, comments=True)[1:]
    # `...` and [brackets] are a synopsis: names can be checked, and no more.
    synopsis = any(word.startswith("[") or word == "..." for word in words)
    words = [word.strip("[]") for word in words if word not in ("...", "|")]
    command, rest = words[0], words[1:]
    if command in ("--version", "--help") or command == "COMMAND":
        return None
    if command not in COMMANDS:
        return f"no command {command}"
    if command == "train":
        return _problem_of_training(rest, synopsis)
    parser = Parser(prog=command, allow_abbrev=False)
    importlib.import_module(f"limbeck.commands.{COMMANDS[command][0]}").configure(parser)
    unknown = [word for word in rest if word.startswith("-") and word not in parser._option_string_actions]
    if unknown:
        return f"no option {unknown[0]}"
    # A mention in passing, `limbeck import`, names the command alone.
    return None if synopsis or not rest or "--help" in rest else _refusal(parser, rest)


def _refusal(parser: argparse.ArgumentParser, words: list[str]) -> str | None:
    try:
        parser.parse_args(words)
    except LimbeckError as error:
        return str(error)
    return None


def _problem_of_training(words: list[str], synopsis: bool) -> str | None:
    if not words or words[0] in ("METHOD", "--help"):
        method = "supervised"
    elif words[0] not in METHODS:
        return f"no method {words[0]}"
    else:
        method = words[0]
    settings = Settings(method)
    names = [word.removeprefix("--").split("=")[0].replace("-", "_") for word in words[1:] if word.startswith("--")]
    unknown = [name for name in names if name not in (*PLACES, *settings.types, "config", "help", "NAME")]
    if unknown:
        return f"no option {unknown[0]} of {method}"
    if synopsis or "NAME" in names or "help" in names or "config" in names:
        return None
    try:
        settings.parse(words[1:])
    except LimbeckError as error:
        return str(error)
    return None


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_in_a_document_exists(document: Path) -> None:
    problems = {line: problem(line) for line in commands(document.read_text(), "limbeck")}
    assert not {line: what for line, what in problems.items() if what}


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_every_command_in_a_recipe_exists_and_names_it(config: Path) -> None:
    lines = re.findall(r"^# +(limbeck .*)$", config.read_text(), re.MULTILINE)
    assert lines and not [line for line in lines if problem(line)]
    named = {match for line in lines for match in re.findall(r"--config (\S+)", line)}
    assert str(config.relative_to(ROOT)) in named
    assert all((ROOT / name).is_file() for name in named)


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
        ("limbeck predict RUN --flare scan.nii.gz -o mask.nii.gz", "no option"),
        ("limbeck predict RUN --flair scan.nii.gz", "required"),
        ("limbeck report -o page.html", "required"),
    ],
)
def test_a_wrong_command_would_be_noticed(line: str, found: str) -> None:
    assert list(commands(f"Text.\n```\n$ {line}  # why\n```\n", "limbeck")) == [f"{line}  # why"]
    assert list(commands(f"Text `{line}` more.", "limbeck")) == [line]
    assert found in str(problem(line))


def targets() -> set[str]:
    return set(re.findall(r"^([a-z][\w-]*):(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_make_target_in_a_document_exists(document: Path) -> None:
    named = {line.split()[1] for line in commands(document.read_text(), "make")}
    assert named <= targets()


def test_the_makefile_has_the_targets_that_everybody_uses() -> None:
    assert {"demo", "test", "lint", "bench"} <= targets()
    assert {"demo", "test"} <= {line.split()[1] for line in commands((ROOT / "README.md").read_text(), "make")}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_python_block_uses_names_that_exist(document: Path) -> None:
    for block in PYTHON.findall(document.read_text()):
        for node in ast.walk(ast.parse(textwrap.dedent(block))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "limbeck":
                assert hasattr(limbeck, node.attr), node.attr
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("limbeck"):
                module = importlib.import_module(str(node.module))
                assert all(hasattr(module, name.name) for name in node.names)


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
