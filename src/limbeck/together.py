"""Students of one method for several subsets, trained side by side: one reading, one pass of the frozen teacher.

Each is a run of its own, in the folder and with the weights that it would have if it were trained alone.
"""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import fmean
from typing import Any

from limbeck.anatomy import Subset
from limbeck.data.cohort import Cohort
from limbeck.errors import ModelError, PartialError, UsageError, require
from limbeck.experiment import Experiment, Ready, plan, prepare, refuse_to_begin, train_runs, unfinished
from limbeck.methods import find
from limbeck.methods.saved import DONE
from limbeck.training.checkpoint import saved_card
from limbeck.training.optimise import DivergedError
from limbeck.training.record import EXPERIMENT

# All 15; a student of width 16 that waits for its turn takes 60 MB.
GROUP = 15


def plan_together(
    method: str, subsets: str, teacher: Path | None, parts: Mapping[str, Any], split: Path | None = None
) -> tuple[Experiment, ...]:
    """One experiment for each subset; arguments but `subsets` are those of `experiment.plan`.

    Args:
        method: name in METHODS.
        subsets: `all` for the 15, or names with commas: flair,t1ce,flair+t1.
        teacher: run folder of the teacher, for methods that need one.
        parts: settings by section.
        split: a file of folds instead of the cohort's own.

    Raises:
        UsageError: as `experiment.plan`; or the method's students have nothing to share, or a subset stands twice.
    """
    _check_shares(method)
    every = subsets.strip().lower() == "all"
    chosen = Subset.every() if every else tuple(Subset.parse(name) for name in subsets.split(","))
    experiments = tuple(plan(method, str(subset), teacher, parts, split) for subset in chosen)
    _check_alike(experiments)
    return experiments


def run_together(
    experiments: Sequence[Experiment],
    cohort: Cohort,
    out: Path,
    report: Callable[[int, float], None] = lambda done, loss: None,
    finished: Callable[[Path], None] = lambda folder: None,
    *,
    group: int = GROUP,
    resume: bool = False,
) -> list[Path]:
    """Train experiments that differ in their subsets alone, or go on with them; returns the runs' folders.

    A student that comes to NaN or infinity leaves its group, and the others go on. A signal waits until all of the
    group have taken the step, and all are saved.

    Args:
        experiments: what to train, as `plan_together` gives it.
        cohort: what to train on.
        out: the folder that holds all runs.
        report: called after every step of a student with the steps done by all and the mean of their last losses.
        finished: called with each run that is finished, when its group is.
        group: how many train at a time. The others wait, and take no memory; weights do not depend on it.
        resume: go on only; refuse to begin.

    Raises:
        PartialError: some came to NaN or infinity; the others are finished.
        DivergedError: all did.
        ModelError, DataError, UsageError: as `experiment.run`; or the experiments differ in more than their subsets.
    """
    _check_alike(experiments)
    require(group >= 1, "group", group, "at least 1")
    first = prepare(experiments[0], cohort)
    runs = {out / ready.name: ready for ready in (first.with_subset(asked) for asked in experiments)}
    if resume and not any((folder / EXPERIMENT).is_file() for folder in runs):
        refuse_to_begin(first, out)
    progress = _Progress(runs, report)
    diverged: dict[Path, DivergedError] = {}
    for members in _groups(runs, group):
        failed = train_runs(members, progress)
        diverged |= failed
        progress.losses.clear()
        for folder in members:
            if folder not in failed:
                finished(folder)
        # A compiled network and its pass know each other: its memory would wait for the collector while the next train.
        gc.collect()
    _tell(diverged, len(runs))
    return list(runs)


class _Progress:
    """Steps of many runs as those of one."""

    def __init__(self, runs: Mapping[Path, Ready], report: Callable[[int, float], None]) -> None:
        self.losses: dict[Path, float] = {}
        self._report = report
        self._done = {folder: _done(folder, ready.experiment.training.steps) for folder, ready in runs.items()}

    def __call__(self, folder: Path, done: int, loss: float) -> None:
        self._done[folder], self.losses[folder] = done, loss
        self._report(sum(self._done.values()), fmean(self.losses.values()))


def _done(folder: Path, steps: int) -> int:
    """The steps that a run has behind it."""
    if (folder / DONE).is_file():
        return steps
    # A checkpoint that is damaged is told of when it is its run's turn.
    with suppress(ModelError):
        if (card := saved_card(folder, tell=False)) is not None:
            return card.step
    return 0


def _groups(runs: Mapping[Path, Ready], size: int) -> Iterator[dict[Path, Ready]]:
    """What is not finished, so many at a time, in the order given; finished runs come first and together."""
    waiting = list(unfinished(runs))
    yield {folder: ready for folder, ready in runs.items() if folder not in waiting}
    for start in range(0, len(waiting), size):
        yield {folder: runs[folder] for folder in waiting[start : start + size]}


def _check_shares(method: str) -> None:
    """Refuse methods whose students of several subsets do not look at the same crops."""
    kind = find(method)
    if kind.generalist:
        raise UsageError(f"{method} serves all 15 subsets with one network: leave --subsets out")
    if not kind.privileged:
        raise UsageError(
            f"{method} reads for each subset the cases that have it, so its networks share nothing: "
            "train them one by one with --subset"
        )


def _check_alike(experiments: Sequence[Experiment]) -> None:
    if not experiments:
        raise UsageError("no subset is given: expected at least one")
    _check_shares(experiments[0].method)
    for index, asked in enumerate(experiments):
        if dataclasses.replace(asked, subsets=experiments[0].subsets) != experiments[0]:
            raise UsageError(f"{asked.method} for {asked.subset_name} differs from the first in more than its subset")
        if any(asked.subsets == other.subsets for other in experiments[:index]):
            raise UsageError(f"subset {asked.subset_name} is given twice: expected each once")


def _tell(diverged: Mapping[Path, DivergedError], count: int) -> None:
    problems = list(diverged.values())
    if not problems:
        return
    if len(problems) == count:
        raise problems[0]
    listed = "; ".join(f"{folder.name}: {error}" for folder, error in diverged.items())
    raise PartialError(f"{len(problems)} of {count} students did not get to their end, the others did: {listed}")
