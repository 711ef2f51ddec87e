"""The work of one cell: train, verify, score. Both engines call this function and no other."""

from __future__ import annotations

import contextlib
import hashlib
import resource
import shutil
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from limbeck.benchmark.cells import Cell
from limbeck.benchmark.matrix import Scoring
from limbeck.benchmark.state import RUNS, locked, measured_of, results_of, scores_of, verified
from limbeck.data.cohort import Cohort
from limbeck.durable import lacks_space, write_text
from limbeck.errors import LimbeckError, ResourceError
from limbeck.evaluation import table
from limbeck.evaluation.protocol import find
from limbeck.experiment import prepare, run_ready
from limbeck.inference.predictor import checkpoint_folder
from limbeck.methods.saved import DONE, load_card
from limbeck.scoring import evaluate_run
from limbeck.version import __version__

FAILURES, JOURNALS = "failures", "journals"


@dataclass(frozen=True)
class Task:
    """A cell with all that a process needs to work on it.

    Attributes:
        cell: what to make.
        teacher: its teacher's finished run.
        cohort: the cohort's folder.
        out: the benchmark's folder.
        scoring: how to score it.
        threads: how many the process may use.
    """

    cell: Cell
    teacher: Path | None
    cohort: Path
    out: Path
    scoring: Scoring
    threads: int


@dataclass(frozen=True)
class Outcome:
    """How the work on a cell ended.

    Attributes:
        name: the cell's.
        state: `busy` is a cell that another process has in hand; `full` a disk, on which no cell can be written.
        run: the finished run's name.
        problem: why it failed, in a line.
        peak_mib: the most memory that the process has held.
    """

    name: str
    state: Literal["done", "busy", "failed", "full"]
    run: str = ""
    problem: str = ""
    peak_mib: float = 0.0


def work(task: Task) -> Outcome:
    """Make a cell, or what is missing of it, unless another process is at it; never raises."""
    name = task.cell.name
    torch.set_num_threads(task.threads)
    try:
        with locked(task.out, name) as held:
            if not held:
                return Outcome(name, "busy")
            run = _make(task)
        (task.out / FAILURES / f"{name}.txt").unlink(missing_ok=True)
        return Outcome(name, "done", run, "", _peak_mib())
    except ResourceError as error:
        return Outcome(name, "full", problem=str(error))
    except OSError as error:
        if lacks_space(error):
            return Outcome(name, "full", problem=f"no space left: {error}")
        return _failed(task, error)
    except Exception as error:
        return _failed(task, error)


def _make(task: Task) -> str:
    cohort, cell = Cohort.open(task.cohort), task.cell
    ready = prepare(cell.experiment(task.teacher), cohort)
    folder = task.out / RUNS / ready.name
    if not (folder / DONE).is_file():
        # Of a run that was moved away: the one that takes its name may come to other weights.
        results_of(task.out, folder.name).unlink(missing_ok=True)
    run_ready(folder, ready)
    verified(folder)
    if cell.scored and not scores_of(task.out, folder.name, cohort.hash, cell, task.scoring):
        # Rows that are scored in another way, or of other weights, are kept apart, so that a matrix may change while it
        # is unfinished.
        checkpoint = checkpoint_folder(folder, find(task.scoring.protocol).checkpoint)
        weights = load_card(checkpoint).files
        digest = hashlib.sha256(repr((task.scoring, cell.scored, weights, __version__)).encode()).hexdigest()
        journal = task.out / JOURNALS / digest[:8]
        rows = evaluate_run(
            folder,
            cohort,
            cell.scored,
            metrics=task.scoring.metrics,
            protocol=task.scoring.protocol,
            processed=task.scoring.processed,
            journal=journal,
            device=cell.parts["training"].device,
        )
        # What an earlier matrix asked for stays.
        both = {row.key: row for row in [*measured_of(task.out, folder.name, cohort.hash), *rows]}
        table.write(results_of(task.out, folder.name), both.values())
        for kept in (task.out / JOURNALS).glob(f"*/{folder.name}"):
            shutil.rmtree(kept, ignore_errors=True)
            with contextlib.suppress(OSError):
                # Others may be using it.
                kept.parent.rmdir()
    return folder.name


def _failed(task: Task, error: Exception) -> Outcome:
    """A failure of this cell alone; where it happened is kept for whoever looks into it, if there is room."""
    line = next(iter(str(error).strip().splitlines()), "")
    problem = line if isinstance(error, LimbeckError) else f"{type(error).__name__}: {line}"
    with contextlib.suppress(OSError, ResourceError):
        write_text(task.out / FAILURES / f"{task.cell.name}.txt", "".join(traceback.format_exception(error)))
    return Outcome(task.cell.name, "failed", problem=problem, peak_mib=_peak_mib())


def _peak_mib() -> float:
    # Linux counts in kibibytes, macOS in bytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)
