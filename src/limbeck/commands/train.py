"""`limbeck train METHOD`: a run, with every setting of the method and the loop under one name."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limbeck.commands.bar import bar
from limbeck.errors import DataError, UsageError, nearest
from limbeck.methods import METHODS, find

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

USAGE = """usage: limbeck train METHOD --data COHORT --subset S [--teacher RUN]
                            [--config YAML] [--NAME VALUE ...] --out RUNS

Methods: {methods}.
limbeck train METHOD --help shows every setting of the method with its meaning and source."""


def run(words: Sequence[str]) -> int:
    """Train what the words ask for."""
    if not words or words[0] in ("-h", "--help"):
        print(USAGE.format(methods=", ".join(METHODS)))
        return 0 if words else UsageError.exit_code
    method, rest = words[0], list(words[1:])
    parser = _parser(method)
    try:
        chosen = _parse(parser, rest)
    except SystemExit as leaving:
        return int(leaving.code or 0)
    return _train(method, chosen)


def _train(method: str, chosen: Namespace) -> int:
    from limbeck.data.cohort import Cohort  # noqa: PLC0415 - torch
    from limbeck.experiment import SECTIONS, plan  # noqa: PLC0415
    from limbeck.experiment import run as train  # noqa: PLC0415

    for name in ("data", "out"):
        if chosen[name] is None:
            raise UsageError(f"limbeck train {method} needs --{name}")
    kinds = {**SECTIONS, "method_settings": find(method).Settings}
    parts = {
        section: kind(**{item.name: chosen[item.name] for item in dataclasses.fields(kind)})
        for section, kind in kinds.items()
    }
    teacher = Path(chosen["teacher"]) if chosen["teacher"] else None
    experiment = plan(method, chosen["subset"], teacher, parts)
    cohort = Cohort.open(Path(chosen["data"]))
    steps = experiment.training.steps
    with bar(f"{method} {experiment.subset_name}", steps) as advance:
        folder = train(experiment, cohort, Path(chosen["out"]), advance)
    print(folder)
    return 0


def _parser(method: str) -> ArgumentParser:
    from jsonargparse import ArgumentParser  # noqa: PLC0415 - a tenth of a second

    from limbeck.experiment import SECTIONS  # noqa: PLC0415 - torch

    parser = ArgumentParser(
        prog=f"limbeck train {method}",
        description=METHODS[method].summary if method in METHODS else None,
        exit_on_error=False,
        default_env=False,
    )
    find(method)
    parser.add_argument("--config", action="config", help="YAML file of settings; later options override it")
    parser.add_argument("--data", type=str, default=None, help="cohort folder")
    parser.add_argument("--subset", type=str, default=None, help="sequences: t1ce, flair+t1ce, all ...")
    parser.add_argument("--teacher", type=str, default=None, help="run folder of the teacher")
    parser.add_argument("--out", type=str, default=None, help="folder that holds all runs")
    for kind in (find(method).Settings, *SECTIONS.values()):
        parser.add_class_arguments(kind, nested_key=None)
    return parser


def _parse(parser: ArgumentParser, words: list[str]) -> Namespace:
    from jsonargparse import ArgumentError  # noqa: PLC0415

    known = [option.removeprefix("--") for action in parser._actions for option in action.option_strings]
    # Three sizes are as natural without brackets.
    words = [f"[{word}]" if re.fullmatch(r"\d+,\d+,\d+", word) else word for word in words]
    words = [re.sub(r"^(--[\w-]+)=(\d+,\d+,\d+)$", r"\1=[\2]", word) for word in words]
    words = [re.sub(r"^--[\w-]+", lambda name: "--" + name[0][2:].replace("-", "_"), word) for word in words]
    try:
        return parser.parse_args(words)
    except ArgumentError as error:
        raise _explained(str(error), known) from error
    except (OSError, TypeError, ValueError) as error:
        raise DataError(f"configuration cannot be read: {str(error).splitlines()[0]}") from error


def _explained(text: str, known: list[str]) -> UsageError:
    """Jsonargparse's message as one line, with the nearest name for an unknown one."""
    line = " ".join(part.strip() for part in text.splitlines())
    unknown = re.search(r"[Uu]nrecognized arguments: --?([\w-]+)|Option '([\w.-]+)' is not accepted", line)
    if unknown:
        name = next(group for group in unknown.groups() if group)
        return UsageError(f"unknown setting {name!r}{nearest(name, known)}")
    return UsageError(line)


def describe(values: Any) -> str:
    """A dataclass as one line of name=value."""
    return ", ".join(f"{name}={value}" for name, value in dataclasses.asdict(values).items())


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
