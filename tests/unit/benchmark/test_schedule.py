from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from unit.benchmark.making import planned

from limbeck.benchmark import schedule
from limbeck.benchmark.matrix import Scoring
from limbeck.benchmark.schedule import work_through
from limbeck.benchmark.work import Outcome, Task
from limbeck.errors import ResourceError


class Script:
    """An engine that has room for one cell and ends it as it was told to, time after time."""

    def __init__(self, **ends: Any) -> None:
        self.ends = {name.replace("_", "-"): list(states) for name, states in ends.items()}
        self.begun: list[str] = []
        self.teachers: dict[str, Path | None] = {}
        self.hand: list[Task] = []
        self.closed = False

    def room(self, task: Task) -> bool:
        return not self.hand

    def start(self, task: Task) -> None:
        self.begun.append(task.cell.name)
        self.teachers[task.cell.name] = task.teacher
        self.hand.append(task)

    def wait(self, seconds: float) -> list[Outcome]:
        name = self.hand.pop().cell.name
        state = self.ends.get(name.split("-")[0], [])
        return [Outcome(name, state.pop(0) if state else "done", f"{name}-run", "because")]

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def plan(tmp_path):
    return planned(tmp_path, "methods: [gkd, dropout]\nsubsets: [flair]")


@pytest.fixture(autouse=True)
def in_haste(monkeypatch):
    monkeypatch.setattr(schedule, "PATIENCE", 0.0)


def through(plan, engine, runs) -> dict[str, str]:
    def task(cell) -> Task:
        teacher = Path(runs[cell.teacher]) if cell.teacher else None
        return Task(cell, teacher, Path("cohort"), Path("out"), Scoring(("dice",), "strict-1"), 1)

    return work_through(plan.cells, runs, task, engine)


TEACHER = "supervised-flair+t1+t1ce+t2-f0-s0"


def test_a_student_begins_after_its_teacher_and_is_told_of_its_run(plan) -> None:
    engine, runs = Script(), {}
    assert through(plan, engine, runs) == {}
    assert engine.begun.index(TEACHER) < engine.begun.index("gkd-flair-f0-s0")
    assert engine.teachers["gkd-flair-f0-s0"] == Path(f"{TEACHER}-run")
    assert set(runs) == set(plan.cells) and engine.closed


def test_what_is_finished_is_not_begun(plan) -> None:
    engine = Script()
    through(plan, engine, {TEACHER: "made-before"})
    assert TEACHER not in engine.begun
    assert engine.teachers["gkd-flair-f0-s0"] == Path("made-before")


def test_a_cell_in_other_hands_is_asked_for_again(plan) -> None:
    engine = Script(supervised=["busy", "busy"])
    assert through(plan, engine, runs := {}) == {}
    assert engine.begun.count(TEACHER) == 3 and engine.begun.count("dropout-any-f0-s0") == 1
    assert set(runs) == set(plan.cells)


def test_a_failed_cell_takes_its_students_with_it_and_no_others(plan) -> None:
    engine = Script(supervised=["failed"])
    failures = through(plan, engine, runs := {})
    assert failures == {TEACHER: "because", "gkd-flair-f0-s0": f"its teacher {TEACHER} failed"}
    assert list(runs) == ["dropout-any-f0-s0"] and engine.closed


def test_a_full_disk_ends_everything(plan) -> None:
    engine = Script(supervised=["full"])
    with pytest.raises(ResourceError, match="because"):
        through(plan, engine, {})
    assert engine.begun == [TEACHER] and engine.closed


def test_an_interruption_closes_the_engine(plan) -> None:
    engine = Script()

    def interrupt(seconds: float) -> list[Outcome]:
        raise KeyboardInterrupt

    engine.wait = interrupt
    with pytest.raises(KeyboardInterrupt):
        through(plan, engine, {})
    assert engine.closed
