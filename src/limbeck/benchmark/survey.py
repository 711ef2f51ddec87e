"""What of a plan is there already, and the table of all that is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limbeck.benchmark.cells import Cell, Plan
from limbeck.benchmark.matrix import Matrix
from limbeck.benchmark.state import RUNS, Finished, Run, scores_of
from limbeck.benchmark.work import Task
from limbeck.data.cohort import Cohort
from limbeck.durable import write_json
from limbeck.errors import DataError
from limbeck.evaluation import table
from limbeck.evaluation.table import Row

MATRIX, TABLE = "matrix.json", "results.csv"


@dataclass(frozen=True)
class Survey:
    """What is there.

    Attributes:
        trained: cell -> its finished run, scored or not.
        scored: the cells that have scores too, and so nothing left to do.
    """

    trained: Mapping[str, Run]
    scored: frozenset[str]

    def state(self, name: str) -> str:
        """A cell's state in a word."""
        return "done" if name in self.scored else "trained" if name in self.trained else "missing"


@dataclass(frozen=True)
class Bench:
    """A matrix on a cohort in a folder.

    Attributes:
        matrix: what was asked for.
        plan: its cells.
        cohort: the cases.
        out: where everything lies.
    """

    matrix: Matrix
    plan: Plan
    cohort: Cohort
    out: Path

    def survey(self) -> Survey:
        """Look at every cell's files.

        Raises:
            ModelError: a finished run was edited or damaged.
            DataError: scores are damaged or of other data.
        """
        self._check_record()
        finished = Finished(self.out, self.cohort.hash)
        trained: dict[str, Run] = {}
        scored: set[str] = set()
        for name, cell in self.plan.cells.items():
            if cell.teacher and cell.teacher not in trained:
                continue
            run = finished.run_of(cell, trained[cell.teacher] if cell.teacher else None)
            if run is None:
                continue
            trained[name] = run
            if not cell.scored or self.scores(cell, run.folder.name):
                scored.add(name)
        return Survey(trained, frozenset(scored))

    def scores(self, cell: Cell, run: str) -> list[Row]:
        """The scores of a cell's run, if they are as asked."""
        return scores_of(self.out, run, self.cohort.hash, cell, self.matrix.scoring)

    def task(self, cell: Cell, teacher: str | None, threads: int) -> Task:
        """A cell's task; the teacher is a run's name."""
        folder = self.out / RUNS / teacher if teacher else None
        return Task(cell, folder, self.cohort.path, self.out, self.matrix.scoring, threads)

    def record(self) -> None:
        """Write what this folder compares to `matrix.json`."""
        path = self.out / MATRIX
        content = {
            "data": self.cohort.hash,
            "methods": list(self.matrix.methods),
            "subsets": [str(subset) for subset in self.matrix.subsets],
            "folds": list(self.matrix.folds),
            "seeds": list(self.matrix.seeds),
            "settings": dict(self.matrix.settings),
            "method_settings": {name: dict(values) for name, values in self.matrix.method_settings.items()},
            "metrics": list(self.matrix.scoring.metrics),
            "protocol": self.matrix.scoring.protocol,
            "processed": self.matrix.scoring.processed,
            "left_out": list(self.plan.left_out),
            "cells": {name: {"teacher": cell.teacher} for name, cell in self.plan.cells.items()},
        }
        if _read(path) != json.loads(json.dumps(content)):
            write_json(path, content)

    def collect(self, runs: Mapping[str, str]) -> int:
        """Write the scores of these runs to `results.csv`, unless it holds them; returns the number of rows.

        Args:
            runs: cell -> run's name.
        """
        cells = self.plan.cells
        rows = [row for name, run in runs.items() if cells[name].scored for row in self.scores(cells[name], run)]
        path = self.out / TABLE
        if rows and not _holds(path, rows):
            table.write(path, rows)
        return len(rows)

    def _check_record(self) -> None:
        before = _read(self.out / MATRIX)
        if before is not None and before.get("data") != self.cohort.hash:
            raise DataError(
                f"{self.out} holds a benchmark on data {str(before.get('data'))[:8]}, {self.cohort.path} is "
                f"{self.cohort.hash[:8]}: give another --out"
            )


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}): move it away") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: no record of a benchmark: move it away")
    return content


def _holds(path: Path, rows: list[Row]) -> bool:
    try:
        return table.read(path) == sorted(rows, key=lambda row: row.key)
    except DataError:
        # Made of files that are each checked, so a damaged one is simply made again.
        return False
