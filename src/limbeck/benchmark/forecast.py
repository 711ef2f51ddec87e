"""How long what is missing will take: from the logs of finished runs, else from steps taken on made-up crops."""

from __future__ import annotations

import csv
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch

from limbeck.anatomy import Subset
from limbeck.batch import Batch, View
from limbeck.benchmark.cells import Cell, Plan
from limbeck.benchmark.state import results_of
from limbeck.benchmark.survey import Survey
from limbeck.methods import build, find
from limbeck.methods.base import Context, Progress
from limbeck.methods.saved import DONE
from limbeck.training.optimise import Optimisers
from limbeck.training.trainer import fabric_for


@dataclass(frozen=True)
class Forecast:
    """What a method's missing cells cost.

    Attributes:
        method: its name.
        cells: all of them.
        missing: those to train.
        unscored: those to score.
        step_seconds: of a training step; None where all are trained.
        source: where that number comes from.
        training_seconds: of all missing steps, one after the other.
        scoring_seconds: of all missing scores, one after the other; None where no run has been scored yet.
    """

    method: str
    cells: int
    missing: int
    unscored: int
    step_seconds: float | None
    source: str
    training_seconds: float
    scoring_seconds: float | None


def forecast(plan: Plan, survey: Survey, out: Path, threads: int) -> list[Forecast]:
    """A line for each method."""
    by_method: dict[str, list[Cell]] = defaultdict(list)
    for cell in plan.cells.values():
        by_method[cell.method].append(cell)
    per_subset = _scoring_seconds(plan, survey, out)
    return [_of_method(method, cells, survey, per_subset, threads) for method, cells in by_method.items()]


def _of_method(method: str, cells: list[Cell], survey: Survey, per_subset: float | None, threads: int) -> Forecast:
    missing = [cell for cell in cells if cell.name not in survey.trained]
    unscored = [cell for cell in cells if cell.name not in survey.scored]
    seconds, source = None, ""
    if missing:
        logged = [_logged(survey.trained[cell.name].folder) for cell in cells if cell.name in survey.trained]
        found = [value for value in logged if value is not None]
        seconds, source = (median(found), "from logs") if found else (_measured(missing[0], threads), "measured now")
    training = sum(cell.parts["training"].steps for cell in missing) * (seconds or 0.0)
    scoring = None if per_subset is None else per_subset * sum(len(cell.scored) for cell in unscored)
    return Forecast(method, len(cells), len(missing), len(unscored), seconds, source, training, scoring)


def _logged(folder: Path) -> float | None:
    """Seconds a step by a run's log; the first line holds the start, so it counts only where it is alone."""
    try:
        with (folder / "log.csv").open(encoding="utf-8", newline="") as stream:
            values = [float(row["value"]) for row in csv.DictReader(stream) if row["name"] == "seconds"]
    except (OSError, ValueError, KeyError):
        return None
    return median(values[1:] or values) if values else None


def _scoring_seconds(plan: Plan, survey: Survey, out: Path) -> float | None:
    """Seconds to score a run on one subset: between the end of its training and its scores, by the files' times."""
    spent = []
    for name in (name for name in survey.scored if plan.cells[name].scored):
        folder = survey.trained[name].folder
        began, ended = ((path.stat().st_mtime) for path in (folder / DONE, results_of(out, folder.name)))
        if ended > began:
            # Else the files were copied without their times.
            spent.append((ended - began) / len(plan.cells[name].scored))
    return median(spent) if spent else None


def _measured(cell: Cell, threads: int) -> float:
    """Seconds of a cell's second training step, on made-up crops; nothing is written."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        # What is drawn here must not move what a run draws afterwards.
        with torch.random.fork_rng():
            return _second_step(cell)
    finally:
        torch.set_num_threads(before)


def _second_step(cell: Cell) -> float:
    kind, parts = find(cell.method), cell.parts
    settings, sampling = parts["method_settings"], parts["sampling"]
    everything = Context((Subset.parse("all"),))
    teachers = {
        role: build(provider, find(provider).Settings(network=settings.network, width=settings.width), everything)
        for role, provider in kind.needs.items()
    }
    subsets = (cell.subset,) if cell.subset else Subset.every()
    method = build(cell.method, settings, Context(subsets, teachers=teachers))
    fabric, optimisers = fabric_for(parts["training"]), Optimisers(method, parts["optimiser"])
    method.to(fabric.device)
    batch = _made_up(subsets[0], sampling.batch, sampling.patch).to(fabric.device)
    seconds = 0.0
    for _ in range(2):
        started = time.perf_counter()
        method.train()
        # Past the first epoch, in which MTCM-KD does not distil yet.
        iterator = method.training_step(batch, Progress(1, 2, 1, 2))
        while True:
            with fabric.autocast():
                objectives = next(iterator, None)
            if objectives is None:
                break
            optimisers.descend(fabric, objectives)
        seconds = time.perf_counter() - started
    return seconds


def _made_up(subset: Subset, count: int, patch: tuple[int, int, int]) -> Batch:
    images = torch.randn(count, 4, *patch)
    available = torch.tensor([subset.mask()] * count)
    labels = torch.randint(0, 4, (count, *patch))
    present = torch.ones(count, 4, dtype=torch.bool)
    return Batch(View.of(images, available), images, present, labels, tuple(map(str, range(count))))


def total_seconds(forecasts: list[Forecast], workers: int) -> tuple[float, bool]:
    """Seconds until all is done with so many processes, and whether scoring is in it."""
    known = all(item.scoring_seconds is not None for item in forecasts)
    work = sum(item.training_seconds + (item.scoring_seconds or 0.0) for item in forecasts)
    return work / workers, known


def lines(plan: Plan, survey: Survey, forecasts: Mapping[str, Forecast]) -> list[str]:
    """A line for each cell, then a table of methods."""
    listed = [f"{survey.state(name):<8} {name}" for name in plan.cells]
    head = f"{'method':<14}{'cells':>6}{'to train':>10}{'to score':>10}{'s a step':>10}{'minutes':>9}"
    rows = [_line(item) for item in forecasts.values()]
    return [*listed, *plan.left_out, "", head, *rows]


def _line(item: Forecast) -> str:
    step = f"{item.step_seconds:.3f}" if item.step_seconds is not None else "-"
    minutes = (item.training_seconds + (item.scoring_seconds or 0.0)) / 60
    counts = f"{item.cells:>6}{item.missing:>10}{item.unscored:>10}"
    return f"{item.method:<14}{counts}{step:>10}{minutes:>9.1f}  {item.source}".rstrip()
