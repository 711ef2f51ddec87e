"""Which cell comes next: a student waits for its teacher, a cell in another process's hands is asked for again."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Protocol

from limbeck.benchmark.cells import Cell
from limbeck.benchmark.work import Outcome, Task
from limbeck.errors import ResourceError

# How long to leave a cell that another process has in hand, in seconds.
PATIENCE = 1.0


class Engine(Protocol):
    """What works on cells."""

    def room(self, task: Task) -> bool:
        """Whether a cell can be begun now."""

    def start(self, task: Task) -> None:
        """Begin a cell."""

    def wait(self, seconds: float) -> list[Outcome]:
        """What has ended, at most after some seconds."""

    def close(self) -> None:
        """Stop everything."""


def work_through(
    cells: Mapping[str, Cell],
    runs: dict[str, str],
    task: Callable[[Cell], Task],
    engine: Engine,
    progress: Callable[[Outcome], None] = lambda outcome: None,
) -> dict[str, str]:
    """Make all cells; returns why those failed that did. The engine is closed in any case.

    Args:
        cells: what to make.
        runs: cell -> run of what is finished; gains what this call finishes.
        task: gives a cell its task, once its teacher stands in `runs`.
        engine: what works.
        progress: told of every cell that ends.

    Raises:
        ResourceError: the disk is full.
    """
    desk = _Desk(cells, runs, task, engine)
    try:
        while desk.waiting or desk.active:
            for failed in desk.hopeless():
                progress(failed)
            desk.begin()
            for outcome in engine.wait(0.2) if desk.active else _pause():
                desk.note(outcome)
                if outcome.state != "busy":
                    progress(outcome)
    finally:
        engine.close()
    return desk.failures


def _pause() -> list[Outcome]:
    time.sleep(0.2)
    return []


class _Desk:
    """What waits, what is in hand, and what failed."""

    def __init__(
        self, cells: Mapping[str, Cell], runs: dict[str, str], task: Callable[[Cell], Task], engine: Engine
    ) -> None:
        self.waiting = {name: cell for name, cell in cells.items() if name not in runs}
        self.active: dict[str, Cell] = {}
        self.failures: dict[str, str] = {}
        self._runs, self._task, self._engine = runs, task, engine
        self._not_before: dict[str, float] = {}

    def hopeless(self) -> list[Outcome]:
        """Take out what cannot be made, since its teacher failed."""
        lost = [cell for cell in self.waiting.values() if cell.teacher in self.failures]
        for cell in lost:
            self.failures[cell.name] = f"its teacher {cell.teacher} failed"
            del self.waiting[cell.name]
        return [Outcome(cell.name, "failed", problem=self.failures[cell.name]) for cell in lost]

    def begin(self) -> None:
        """Begin what can be begun."""
        now = time.monotonic()
        for name, cell in list(self.waiting.items()):
            taught = cell.teacher is None or cell.teacher in self._runs
            if not taught or self._not_before.get(name, now) > now:
                continue
            task = self._task(cell)
            if not self._engine.room(task):
                return
            self._engine.start(task)
            self.active[name] = self.waiting.pop(name)

    def note(self, outcome: Outcome) -> None:
        """File what has ended."""
        cell = self.active.pop(outcome.name)
        if outcome.state == "full":
            raise ResourceError(f"{outcome.name}: {outcome.problem}")
        if outcome.state == "busy":
            self.waiting[cell.name] = cell
            self._not_before[cell.name] = time.monotonic() + PATIENCE
        elif outcome.state == "failed":
            self.failures[cell.name] = outcome.problem
        else:
            self._runs[cell.name] = outcome.run
