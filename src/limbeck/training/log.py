"""The training log: one CSV of step, epoch, name and value, so that any method's terms fit in it."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from limbeck.durable import write_text
from limbeck.errors import ResourceError

COLUMNS = ("step", "epoch", "name", "value")


@dataclass(frozen=True)
class LogState:
    """Where a log stands between two steps.

    Attributes:
        rows: lines written so far; None where an older checkpoint does not say.
        sums: name -> sum and count of what the next line will average.
    """

    rows: int | None = 0
    sums: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @classmethod
    def from_json(cls, content: Any) -> LogState:
        """Read it back from a checkpoint, in which floats keep every bit.

        Raises:
            TypeError, ValueError, KeyError: it is damaged.
        """
        if content is None:
            return cls(rows=None)
        sums = {str(name): (float(total), float(count)) for name, (total, count) in content["sums"].items()}
        return cls(int(content["rows"]), sums)


class Log:
    """Means of what was measured since the last line, appended to `log.csv`.

    Args:
        path: `log.csv`.
        start: the step that a run goes on from.
        state: where the log stood then.
        writes: of several processes one writes, and the others count along.
    """

    def __init__(self, path: Path, start: int = 0, state: LogState | None = None, writes: bool = True) -> None:
        self.path, self._writes = path, writes
        state = LogState() if state is None else state
        self._sums = dict(state.sums)
        self._rows = self._keep(start, state.rows) if writes else state.rows or 0

    @property
    def state(self) -> LogState:
        """What a checkpoint has to keep."""
        return LogState(self._rows, dict(self._sums))

    def add(self, values: Mapping[str, float]) -> None:
        """Count one step's values into the next means."""
        for name, value in values.items():
            total, count = self._sums.get(name, (0.0, 0.0))
            self._sums[name] = (total + value, count + 1.0)

    def write(self, step: int, epoch: int, values: Mapping[str, float] | None = None) -> dict[str, float]:
        """Append the means since the last call, or only `values` if they are given; returns what was written.

        The lines reach the disk before this returns, so a checkpoint never counts lines that a power cut takes.

        Raises:
            ResourceError: the disk is full; a line in part goes when the run goes on.
        """
        rows = dict(values or {})
        if values is None:
            rows = {name: total / count for name, (total, count) in self._sums.items()}
            self._sums.clear()
        if self._writes:
            self._append(step, epoch, rows)
        self._rows += len(rows)
        return rows

    def _append(self, step: int, epoch: int, rows: Mapping[str, float]) -> None:
        try:
            with self.path.open("a", newline="", encoding="utf-8") as stream:
                csv.writer(stream).writerows((step, epoch, name, f"{value:.6g}") for name, value in rows.items())
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise ResourceError(f"{self.path} cannot be written: {error.strerror}: run the command again") from error

    def _keep(self, start: int, count: int | None) -> int:
        """Drop the lines that a resumed run will write again; gives how many are left."""
        kept = io.StringIO()
        writer = csv.writer(kept)
        writer.writerow(COLUMNS)
        rows: list[list[str]] = []
        if self.path.is_file():
            with self.path.open(newline="", encoding="utf-8") as stream:
                rows = list(csv.reader(stream))[1:]
        whole = [row for row in rows if len(row) == len(COLUMNS) and row[0].isdigit() and int(row[0]) <= start][:count]
        writer.writerows(whole)
        write_text(self.path, kept.getvalue())
        return len(whole)
