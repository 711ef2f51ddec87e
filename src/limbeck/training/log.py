"""The training log: one CSV of step, epoch, name and value, so that any method's terms fit in it."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from limbeck.durable import write_text

COLUMNS = ("step", "epoch", "name", "value")


class Log:
    """Means of what was measured since the last line, appended to `log.csv`."""

    def __init__(self, path: Path, start: int = 0) -> None:
        self.path = path
        self._sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        self._keep_until(start)

    def add(self, values: Mapping[str, float]) -> None:
        """Count one step's values into the next means."""
        for name, value in values.items():
            self._sums[name][0] += value
            self._sums[name][1] += 1.0

    def write(self, step: int, epoch: int, values: Mapping[str, float] | None = None) -> dict[str, float]:
        """Append the means since the last call, and `values` as they are; returns both."""
        rows = {name: total / count for name, (total, count) in self._sums.items()}
        rows.update(values or {})
        self._sums.clear()
        with self.path.open("a", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows((step, epoch, name, f"{value:.6g}") for name, value in rows.items())
        return rows

    def _keep_until(self, start: int) -> None:
        """Drop lines of steps that a resumed run will take again."""
        kept = io.StringIO()
        writer = csv.writer(kept)
        writer.writerow(COLUMNS)
        if self.path.is_file():
            with self.path.open(newline="", encoding="utf-8") as stream:
                rows = list(csv.reader(stream))[1:]
            writer.writerows(row for row in rows if len(row) == len(COLUMNS) and int(row[0]) <= start)
        write_text(self.path, kept.getvalue())
