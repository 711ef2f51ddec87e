"""`limbeck train METHOD`: a run, with every setting of the method and the loop under one name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from limbeck.commands.bar import bar
from limbeck.errors import UsageError, nearest
from limbeck.methods import METHODS

USAGE = """usage: limbeck train METHOD --data COHORT [--subset S] [--teacher RUN]
                            [--config YAML] [--NAME VALUE ...] --out RUNS

Methods: {methods}.
limbeck train METHOD --help shows every setting of the method with its meaning and source."""


def run(words: Sequence[str]) -> int:
    """Train what the words ask for."""
    known = ", ".join(METHODS)
    if words and words[0] in ("-h", "--help"):
        print(USAGE.format(methods=known))
        return 0
    if not words or words[0].startswith("-"):
        raise UsageError(f"train needs a method first: expected one of {known}")
    method, rest = words[0], list(words[1:])
    if method not in METHODS:
        raise UsageError(f"unknown method {method!r}: expected one of {known}{nearest(method, METHODS)}")

    from limbeck.commands.settings import Settings  # noqa: PLC0415 - torch

    settings = Settings(method)
    if "-h" in rest or "--help" in rest:
        print(settings.help())
        return 0
    return _train(method, *settings.parse(rest))


def _train(method: str, places: Mapping[str, str | None], parts: Mapping[str, Any]) -> int:
    from limbeck.data.cohort import Cohort  # noqa: PLC0415 - torch
    from limbeck.experiment import plan  # noqa: PLC0415
    from limbeck.experiment import run as train  # noqa: PLC0415

    data, out = (_needed(method, name, places[name]) for name in ("data", "out"))
    teacher = Path(places["teacher"]) if places["teacher"] else None
    split = Path(places["split"]) if places["split"] else None
    experiment = plan(method, places["subset"], teacher, parts, split)
    cohort = Cohort.open(data)
    with bar(f"{method} {experiment.subset_name}", experiment.training.steps) as advance:
        folder = train(experiment, cohort, out, advance)
    print(folder)
    return 0


def _needed(method: str, name: str, value: str | None) -> Path:
    if not value:
        raise UsageError(f"train {method} needs --{name}: expected a folder (see limbeck train {method} --help)")
    return Path(value)
