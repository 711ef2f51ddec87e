"""Students in groups: what a group held is gone before the next, and the bar knows what is behind those that wait."""

from __future__ import annotations

import gc
import json
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from test_many_students import interrupted, place, words

from limbeck import together
from limbeck.cli import main
from limbeck.networks.network import Network
from limbeck.training import compiled

__all__ = ["place"]

# What is promised here holds at any depth.
pytestmark = pytest.mark.usefixtures("shallow_unet")


def test_compiled_students_of_a_group_are_gone_before_the_next_begins(
    place: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "compiler_problem", lambda device: "")
    monkeypatch.setattr(torch, "compile", lambda function, **options: function)
    students: list[weakref.ref[Any]] = []
    alive: list[int] = []
    compile_students = compiled.compile_students

    def watched(method: Any, device: Any) -> bool:
        alive.append(sum(student() is not None for student in students))
        # The method itself is in no circle.
        students.extend(weakref.ref(part) for part in method.modules() if isinstance(part, Network))
        return compile_students(method, device)

    monkeypatch.setattr(compiled, "compile_students", watched)
    # The collector comes by itself now and then, and must not be what clears up here.
    gc.disable()
    try:
        assert main(words(place, tmp_path / "runs", "--group", "1", "--compile", "true", "--steps", "1")) == 0
    finally:
        gc.enable()
    assert students and alive == [0, 0, 0]


def test_the_bar_begins_with_the_steps_that_stopped_students_have_behind_them(
    place: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "runs"
    assert interrupted(5, words(place, out)) == 143
    single = next(run for run in out.iterdir() if "-t1ce-" in run.name)
    assert main(["train", "--resume", str(single)]) == 0
    (single / "DONE").unlink()
    card = json.loads((single / "last" / "checkpoint.json").read_text())
    assert card["step"] == 7
    reported: list[int] = []
    run = together.run_together

    def counted(experiments: Any, cohort: Any, folder: Any, advance: Any, *given: Any, **named: Any) -> Any:
        return run(experiments, cohort, folder, lambda done, loss: reported.append(done), *given, **named)

    monkeypatch.setattr(together, "run_together", counted)
    assert main(words(place, out, "--group", "1")) == 0
    # 5 + 7 + 5 before the first step; each of the four steps that are left adds one.
    assert reported == [18, 19, 20, 21]
