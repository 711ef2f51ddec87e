"""What is finished, by the files alone: a run that verifies, and its scores beside it.

Nothing else is remembered, so a benchmark that was killed at any moment knows as much as one that was not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from limbeck.benchmark.cells import Cell
from limbeck.benchmark.matrix import Scoring
from limbeck.errors import DataError, ModelError
from limbeck.evaluation import table
from limbeck.evaluation.table import RAW, Row
from limbeck.experiment import digest_of
from limbeck.lock import held
from limbeck.methods import fields
from limbeck.methods.saved import DONE, load_card
from limbeck.received import read_json
from limbeck.training.record import EXPERIMENT, read_experiment

RUNS, RESULTS, LOCKS = "runs", "results", "locks"


@dataclass(frozen=True)
class Run:
    """A finished run that verifies.

    Attributes:
        folder: where it lies.
        digest: its experiment's hash.
        origin: its experiment.
    """

    folder: Path
    digest: str
    origin: Mapping[str, Any]


def verified(folder: Path) -> Run:
    """A finished run, after comparing its settings and weights with their hashes.

    Raises:
        ModelError: something in the folder was edited or damaged; the message says what.
    """
    advice = "restore it, or move the folder away to make it again"
    card = load_card(folder / "best")
    try:
        origin = read_experiment(folder)
        digest = digest_of(origin)
        best = _best_step(folder)
    except ModelError as error:
        raise ModelError(f"{error}: {advice}") from error
    except TypeError as error:
        raise ModelError(f"{folder / EXPERIMENT} is damaged (a name in it is no text): {advice}") from error
    trained = str(card.origin.get("experiment", ""))
    if digest != trained or not folder.name.endswith(f"-{digest[:8]}"):
        raise ModelError(
            f"{folder} was edited: its experiment.yaml has hash {digest[:8]}, its weights were trained by "
            f"{trained[:8]}: {advice}"
        )
    if card.step != best:
        raise ModelError(
            f"{folder} was edited: its best step is {best}, its best checkpoint of step {card.step}: {advice}"
        )
    return Run(folder, digest, origin)


def _best_step(folder: Path) -> int:
    try:
        content = read_json(folder / DONE)
        return fields.whole(content["best_step"] if isinstance(content, dict) else None, "best_step")
    except (OSError, ValueError, KeyError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ModelError(f"{folder / DONE} is damaged ({reason})") from error


class Finished:
    """The finished runs of a folder, each verified once."""

    def __init__(self, out: Path, data: str) -> None:
        self.out, self.data = out, data
        self._runs: dict[str, Run] = {}

    def run_of(self, cell: Cell, teacher: Run | None) -> Run | None:
        """The finished run of a cell, or None.

        Args:
            cell: what was asked for.
            teacher: its teacher's run, which is part of its hash.

        Raises:
            ModelError: a finished run under the cell's name was edited or damaged.
        """
        experiment = cell.experiment(teacher.folder if teacher else None)
        roles = dict.fromkeys(experiment.teachers, teacher.digest) if teacher else {}
        asked = {**json.loads(json.dumps(experiment.to_json())), "data": self.data, "teachers": roles}
        for folder in sorted((self.out / RUNS).glob(f"{cell.name}-????????")):
            if (folder / DONE).is_file():
                run = self._verified(folder)
                # What decides a run stays the same when what is asked for is put in its place.
                if digest_of({**run.origin, **asked}) == run.digest:
                    return run
        return None

    def _verified(self, folder: Path) -> Run:
        if folder.name not in self._runs:
            self._runs[folder.name] = verified(folder)
        return self._runs[folder.name]


def scores_of(out: Path, run: str, data: str, cell: Cell, asked: Scoring) -> list[Row]:
    """The rows of a run that are asked for; none if one of its subsets, metrics or steps was not scored.

    Raises:
        DataError: the file is damaged, of another schema, of other data or of another run.
    """
    rows = [
        row
        for row in measured_of(out, run, data)
        if row.protocol == asked.protocol and row.subset in cell.scored and row.metric in asked.metrics
        if asked.processed or row.processing == RAW
    ]
    found = {(row.subset, row.metric, row.processing == RAW) for row in rows}
    needed = product(cell.scored, asked.metrics, (True, False) if asked.processed else (True,))
    return rows if found.issuperset(needed) else []


def measured_of(out: Path, run: str, data: str) -> list[Row]:
    """All rows of a run, also those that an earlier matrix asked for.

    Raises:
        DataError: the file is damaged, of another schema, of other data or of another run.
    """
    path = results_of(out, run)
    if not path.is_file():
        return []
    rows = table.read(path)
    for row in rows:
        if row.data != data:
            raise DataError(f"{path}: scored on data {row.data[:8] or 'unknown'}, expected {data[:8]}: move it away")
        if row.run != run:
            raise DataError(f"{path}: holds results of {row.run}: move it away")
    return rows


def results_of(out: Path, run: str) -> Path:
    """Where the scores of a run lie."""
    return out / RESULTS / f"{run}.csv"


@contextmanager
def locked(out: Path, name: str, wait: bool = False) -> Iterator[bool]:
    """Hold a name of a folder against all other processes; yields whether it is held."""
    with held(out / LOCKS / f"{name}.lock", wait) as alone:
        yield alone
