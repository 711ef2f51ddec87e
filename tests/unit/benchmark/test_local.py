from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from unit.benchmark.making import planned

from limbeck.benchmark import local, work
from limbeck.benchmark.local import FIRST_GUESS_MIB, Local
from limbeck.benchmark.matrix import Scoring
from limbeck.benchmark.work import Outcome, Task
from limbeck.errors import ResourceError


@pytest.fixture
def task(tmp_path) -> Task:
    (cell,) = planned(tmp_path, "methods: [dropout]").cells.values()
    return Task(cell, None, tmp_path / "no-cohort", tmp_path, Scoring(("dice",), "strict-1"), 1)


def occupied(engine: Local, task: Task, outcome: Outcome | None = None) -> Any:
    """Give an engine a worker that has a cell in hand, without a process."""
    worker: Any = SimpleNamespace(task=task, pipe=SimpleNamespace(recv=lambda: outcome))
    engine._workers.append(worker)
    return worker


def test_no_more_cells_are_in_hand_than_workers(task, monkeypatch) -> None:
    monkeypatch.setattr(local, "available_mib", lambda: float("inf"))
    engine = Local(2, 1)
    assert engine.room(task)
    occupied(engine, task)
    assert engine.room(task)
    occupied(engine, task)
    assert not engine.room(task)


def test_a_cell_waits_for_memory_unless_it_would_be_the_only_one(task, monkeypatch) -> None:
    monkeypatch.setattr(local, "available_mib", lambda: FIRST_GUESS_MIB - 1)
    engine = Local(2, 1)
    assert engine.room(task)
    worker = occupied(engine, task, Outcome(task.cell.name, "done", peak_mib=700.0))
    assert not engine.room(task)
    # What was measured takes the place of the guess, also for methods that were not begun yet.
    engine._ended(worker)
    assert engine.need_mib("dropout") == engine.need_mib("rirn") == 700.0
    worker.task = task
    assert engine.room(task)


def test_a_cell_that_fails_on_a_full_disk_has_failed_all_the_same(task, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise ResourceError("no space left to write")

    monkeypatch.setattr(work, "write_text", full)
    outcome = work.work(task)
    assert outcome.state == "failed" and "no-cohort" in outcome.problem


def test_a_process_that_raises_ends_its_cell_and_takes_the_next(task, tmp_path: Path) -> None:
    engine = Local(1, 1)
    try:
        for _ in range(2):
            engine.start(task)
            outcomes: list[Outcome] = []
            while not outcomes:
                outcomes = engine.wait(1)
            assert [(outcome.state, "no-cohort" in outcome.problem) for outcome in outcomes] == [("failed", True)]
        assert len(engine._workers) == 1
        process = engine._workers[0].process
    finally:
        engine.close()
    assert process.exitcode is not None


def test_a_process_that_was_killed_while_it_was_idle_costs_no_cell(task) -> None:
    engine = Local(1, 1)
    try:
        engine.start(task)
        while not engine.wait(1):
            pass
        first = engine._workers[0].process
        first.kill()
        first.join()
        engine.start(task)
        outcomes: list[Outcome] = []
        while not outcomes:
            outcomes = engine.wait(1)
        assert ["no-cohort" in outcome.problem for outcome in outcomes] == [True], outcomes
        assert engine._workers[0].process is not first
    finally:
        engine.close()
