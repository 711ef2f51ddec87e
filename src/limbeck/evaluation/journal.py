"""Rows of an evaluation that is under way, kept case by case, so that a killed one goes on where it stopped.

A journal is a folder of one run: `plan.json` says what is being measured, and each case has a table of its own,
written once all its predictions are scored. It is removed when the table that it was for has been written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from limbeck.durable import write_json
from limbeck.errors import DataError, UsageError
from limbeck.evaluation.table import Row, read, write

_PLAN = "plan.json"


@dataclass(frozen=True)
class Journal:
    """What is known already, and where what is measured now is kept.

    Attributes:
        folder: of one run; None keeps nothing.
        plan: what decides the rows: data, protocol, metrics, weights.
        earlier: rows of a finished table that go on being valid.
    """

    folder: Path | None
    plan: Mapping[str, Any]
    earlier: tuple[Row, ...] = ()

    def check(self) -> None:
        """Refuse to go on with the rows of another evaluation.

        Raises:
            UsageError: the folder holds them; the message names what differs.
        """
        if self.folder is None or not (self.folder / _PLAN).is_file():
            return
        try:
            found = dict(json.loads((self.folder / _PLAN).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            found = {}
        for name in sorted({*self.plan, *found}):
            if found.get(name) != self.plan.get(name):
                raise UsageError(
                    f"{self.folder} keeps rows of an unfinished evaluation with another {name}: give the same command "
                    "to finish it, --overwrite to drop it, or another --out"
                )

    def begin(self) -> None:
        """Say what is being measured, before the first row."""
        if self.folder is not None:
            write_json(self.folder / _PLAN, self.plan)

    def rows(self, case: str, expected: Iterable[tuple[object, ...]]) -> list[Row] | None:
        """The rows of a case if every expected one is there; else None.

        Args:
            case: the case's name.
            expected: keys of rows (`Row.key`).
        """
        wanted = tuple(expected)
        for known in (_by_key(self._kept(case)), self._earlier_by_key):
            if all(key in known for key in wanted):
                return [known[key] for key in wanted]
        return None

    @cached_property
    def _earlier_by_key(self) -> dict[tuple[object, ...], Row]:
        return _by_key(self.earlier)

    def add(self, case: str, rows: Iterable[Row]) -> None:
        """Keep the rows of a case."""
        if self.folder is not None:
            write(self.folder / f"{case}.csv", rows)

    def _kept(self, case: str) -> list[Row]:
        if self.folder is None or not (self.folder / f"{case}.csv").is_file():
            return []
        try:
            return read(self.folder / f"{case}.csv")
        except DataError:
            # Measured again, as if it had never been there.
            return []


def _by_key(rows: Iterable[Row]) -> dict[tuple[object, ...], Row]:
    return {row.key: row for row in rows}
