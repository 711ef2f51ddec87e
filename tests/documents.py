"""Commands as documents and recipes give them, and what would keep one from running."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from limbeck.cli import COMMANDS, Parser
from limbeck.commands import recipes as shipped
from limbeck.commands.method_help import PLACES
from limbeck.commands.settings import Settings
from limbeck.errors import LimbeckError
from limbeck.experiment import Experiment, plan
from limbeck.methods import METHODS
from limbeck.together import plan_together

ROOT = Path(__file__).parents[1]
SHELL = re.compile(r"```(?:sh|bash|console|text)?\n(.*?)```", re.DOTALL)
INLINE = re.compile(r"`((?:limbeck|make) [^`\n]+)`")
# Words of a shell that a block names once: common=(--data cohort --out runs), and later "${common[@]}".
ARRAY = re.compile(r"^(\w+)=\((.*)\)$", re.MULTILINE)


def commands(text: str, program: str) -> Iterator[str]:
    """Lines of a document's blocks, and inline code, that call a program."""
    for block in SHELL.findall(text):
        joined = block.replace("\\\n", " ")
        for name, words in ARRAY.findall(joined):
            joined = joined.replace(f'"${{{name}[@]}}"', words)
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
    if synopsis or not rest or "--help" in rest:
        return None
    # A mention in passing names the command, `limbeck import`, or an option of it, `limbeck import --layout`.
    mention = rest[0].startswith("--") and sum(word.startswith("-") for word in rest) == 1
    return None if mention else _refusal(parser, rest)


def _refusal(parser: argparse.ArgumentParser, words: list[str]) -> str | None:
    try:
        parser.parse_args(words)
    except LimbeckError as error:
        return str(error)
    return None


def _problem_of_training(words: list[str], synopsis: bool) -> str | None:
    if not words or words[0] == "--help":
        return None
    if words[0] == "--resume":
        return _problem_of_resuming(words)
    words = [word for word in words if word != "--resume"]
    method = method_of(words)
    if method not in METHODS:
        return f"no method {method}"
    settings = Settings(method)
    names = [word.removeprefix("--").split("=")[0].replace("-", "_") for word in words[1:] if word.startswith("--")]
    unknown = [name for name in names if name not in (*PLACES, *settings.types, "config", "help", "NAME")]
    if unknown:
        return f"no option {unknown[0]} of {method}"
    if synopsis or "NAME" in names or "help" in names:
        return None
    recipes = [following for word, following in pairwise(words) if word == "--config"]
    if missing := [name for name in recipes if not (ROOT / name).is_file() and name not in shipped.names()]:
        return f"no file {missing[0]}"
    try:
        planned(words)
    except LimbeckError as error:
        return str(error)
    return None


def _problem_of_resuming(words: list[str]) -> str | None:
    """`limbeck train --resume RUN`, by which the run's own record says the rest."""
    if len(words) == 1:
        # A mention in passing.
        return None
    if words[1].startswith("-"):
        return "--resume without a run"
    unknown = [word for word in words[2:] if word.startswith("--") and word.removeprefix("--") not in PLACES]
    return f"no option {unknown[0]} of train --resume" if unknown else None


def method_of(words: list[str]) -> str:
    """The method that the words behind `limbeck train` name; any will do for METHOD."""
    return "supervised" if words[0] == "METHOD" else words[0]


def planned(words: list[str]) -> Experiment | None:
    """The experiment that the words behind `limbeck train` ask for; None for a mention in passing.

    Raises:
        UsageError: they ask for what cannot be.
    """
    method = method_of(words)
    recipes = [index for index, word in enumerate(words) if words[index - 1] == "--config"]
    located = [
        str(ROOT / word) if index in recipes and word not in shipped.names() else word
        for index, word in enumerate(words)
    ]
    places, parts = Settings(method).parse(located[1:])
    # S is anybody's subset.
    if not places["out"] or places["subset"] == "S":
        return None
    teacher = Path(places["teacher"]) if places["teacher"] else None
    if places["subsets"]:
        return plan_together(method, places["subsets"].split("|")[0], teacher, parts)[0]
    return plan(method, places["subset"], teacher, parts)
