"""`limbeck train METHOD`: a run, with every setting of the method and the loop under one name."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from limbeck.commands import method_help
from limbeck.commands.bar import bar
from limbeck.errors import ModelError, UsageError, nearest
from limbeck.launch import launch
from limbeck.methods import METHODS

USAGE = """usage: limbeck train METHOD --data COHORT [--subset S] [--teacher RUN]
                            [--config YAML] [--NAME VALUE ...] --out RUNS [--resume]
       limbeck train METHOD --data COHORT --subsets all|S,S... [--group N] [--teacher RUN] ... --out RUNS
       limbeck train --resume RUN [--data COHORT] [--teacher RUN] [--split FILE]

Methods: {methods}.
limbeck train METHOD --help shows every setting of the method with its meaning and source.

--subsets trains a student for each subset side by side, from one pass of the teacher: each becomes
the run that --subset would give, with the same weights. --group N bounds how many train at a time.

The same command again goes on with a run that was stopped; with --resume it refuses to begin one.
--resume RUN goes on with the run of a folder, whose settings it has recorded; data, teacher and
split have to be named only if they no longer lie where they lay. Settings and data that differ
from the run's are refused; --device, --workers, --save-every, --log-every and --compile may differ."""


def run(words: Sequence[str]) -> int:
    """Train what the words ask for."""
    known = ", ".join(METHODS)
    if words and words[0] in ("-h", "--help"):
        print(USAGE.format(methods=known))
        return 0
    rest, resume, folder = _resumed(words)
    method = rest.pop(0) if rest and not rest[0].startswith("-") else None
    if method is None and folder is None:
        raise UsageError(f"train needs a method first: expected one of {known}, or --resume RUN")
    if method is not None and method not in METHODS:
        raise UsageError(f"unknown method {method!r}: expected one of {known}{nearest(method, METHODS)}")
    if method is not None and {"-h", "--help"} & set(rest):
        print(method_help.text(method))
        return 0
    return _train(str(method), rest, resume) if folder is None else _go_on(folder, method, rest)


def _resumed(words: Sequence[str]) -> tuple[list[str], bool, Path | None]:
    """The words without `--resume`, whether it was there, and the run that it names."""
    rest = list(words)
    for index, word in enumerate(rest):
        option, equals, value = word.partition("=")
        if option != "--resume":
            continue
        if not equals and rest[index + 1 :] and not rest[index + 1].startswith("-"):
            value = rest.pop(index + 1)
        del rest[index]
        return rest, True, Path(value) if value else None
    return rest, False, None


def _train(method: str, words: Sequence[str], resume: bool) -> int:
    from limbeck.commands.settings import Settings  # noqa: PLC0415 - torch
    from limbeck.data.cohort import Cohort  # noqa: PLC0415
    from limbeck.experiment import plan  # noqa: PLC0415
    from limbeck.experiment import run as train  # noqa: PLC0415

    begun = time.time()
    places, parts = Settings(method).parse(words)
    data, out = (_needed(method, name, places[name]) for name in ("data", "out"))
    if places["subsets"] is not None:
        return _train_together(method, words, places, parts, resume)
    if places["group"] is not None:
        raise UsageError(f"--group {places['group']} without --subsets: it counts students of several subsets")
    experiment = plan(method, places["subset"], _path(places["teacher"]), parts, _path(places["split"]))
    cohort = Cohort.open(data)
    with bar(f"{method} {experiment.subset_name}", experiment.training.steps) as advance:
        folder = train(experiment, cohort, out, advance, resume=resume)
    return _shown(folder, begun)


def _train_together(
    method: str, words: Sequence[str], places: Mapping[str, str | None], parts: Mapping[str, Any], resume: bool
) -> int:
    """Students for several subsets, side by side; those that are finished are shown even if others failed."""
    from limbeck.data.cohort import Cohort  # noqa: PLC0415 - torch
    from limbeck.together import GROUP, plan_together, run_together  # noqa: PLC0415

    begun = time.time()
    # A file's subset, such as a run's record has, gives way to the option as every setting of a file does.
    if places["subset"] is not None and (_given("subset", words) or not _given("subsets", words)):
        raise UsageError(f"--subset {places['subset']} beside --subsets {places['subsets']}: give one of them")
    group = _count("group", places["group"]) if places["group"] is not None else GROUP
    data, out = (_needed(method, name, places[name]) for name in ("data", "out"))
    teacher, split = _path(places["teacher"]), _path(places["split"])
    experiments = plan_together(method, str(places["subsets"]), teacher, parts, split)
    cohort = Cohort.open(data)
    finished: list[Path] = []
    try:
        with bar(f"{method}, {len(experiments)} subsets", len(experiments) * experiments[0].training.steps) as advance:
            run_together(experiments, cohort, out, advance, finished.append, group=group, resume=resume)
    finally:
        for folder in finished:
            _shown(folder, begun)
    return 0


def _go_on(folder: Path, method: str | None, words: Sequence[str]) -> int:
    """Go on with the run of a folder, by its own record of what was asked for."""
    from limbeck.commands.settings import Settings  # noqa: PLC0415 - torch
    from limbeck.data.cohort import Cohort  # noqa: PLC0415
    from limbeck.experiment import plan, resume  # noqa: PLC0415
    from limbeck.training.checkpoint import saved_card  # noqa: PLC0415
    from limbeck.training.record import EXPERIMENT, read_experiment  # noqa: PLC0415

    begun = time.time()
    record = read_experiment(folder)
    name = _same_method(folder, record, method)
    places, parts = Settings(name).parse([f"--config={folder / EXPERIMENT}", *words])
    if places["out"]:
        raise UsageError(
            f"--out {places['out']} beside --resume {folder}: a run goes on where it lies: leave --out out"
        )
    for place in ("subsets", "group"):
        if places[place] is not None:
            raise UsageError(f"--{place} {places[place]} beside --resume {folder}: it is one run: leave --{place} out")
    data = _lying(folder, "data", places)
    teacher = _lying(folder, "teacher", places) if record.get("teachers") else _path(places["teacher"])
    split = _lying(folder, "split", places) if record.get("split_file") else _path(places["split"])
    assert data is not None
    experiment = plan(name, places["subset"], teacher, parts, split)
    cohort = Cohort.open(data)
    if launch().first and saved_card(folder, tell=False) is None:
        print(f"limbeck: {folder} holds no checkpoint yet: it begins at its first step", file=sys.stderr)
    with bar(f"{name} {experiment.subset_name}", experiment.training.steps) as advance:
        resume(experiment, cohort, folder, advance)
    return _shown(folder, begun)


def _shown(folder: Path, begun: float) -> int:
    """Print a finished run's folder, and what may be overlooked: that it was finished before, or lacked cases.

    Args:
        folder: of the run.
        begun: when this command did, in seconds since 1970.
    """
    from limbeck.methods.saved import DONE  # noqa: PLC0415 - torch
    from limbeck.training.record import use_of  # noqa: PLC0415

    if not launch().first:
        return 0
    if (ended := (folder / DONE).stat().st_mtime) < begun:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(ended))
        print(f"limbeck: note: {folder.name} was finished on {when}: nothing was trained", file=sys.stderr)
    if use := use_of(folder):
        print(f"limbeck: note: {folder.name}: {use}", file=sys.stderr)
    print(folder)
    return 0


def _same_method(folder: Path, record: Mapping[str, Any], method: str | None) -> str:
    name = str(record["method"])
    if method not in (None, name):
        raise UsageError(f"{folder} cannot go on: method was {name}, is {method}: leave the method out")
    if name not in METHODS:
        raise ModelError(f"{folder} is of method {name!r}, which this version does not have: expected a known one")
    return name


def _lying(folder: Path, name: str, places: Mapping[str, str | None]) -> Path:
    """What was given, or where it lay when the run was last trained."""
    from limbeck.training.record import place_of  # noqa: PLC0415

    found = _path(places[name]) or place_of(folder, name)
    if found is None:
        raise UsageError(f"{folder} does not tell where its {name} lies now: expected --{name}")
    return found


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


def _given(name: str, words: Sequence[str]) -> bool:
    """Whether an option stands on the command line, not in a file alone."""
    return any(word.partition("=")[0] == f"--{name}" for word in words)


def _count(name: str, text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"--{name} is {text!r}: expected a whole number of at least 1")
    return int(text)


def _needed(method: str, name: str, value: str | None) -> Path:
    if not value:
        raise UsageError(f"train {method} needs --{name}: expected a folder (see limbeck train {method} --help)")
    return Path(value)
