"""Processes that are started as one training train what all of them were asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from test_ranks_command import as_tasks, ended, place, words

from limbeck import experiment
from limbeck.cli import main

__all__ = ["place"]

SHORT = ["--batch", "1", "--steps", "1", "--validate-every", "0"]


def test_tasks_with_a_subset_each_are_refused_by_name_and_told_how_to_run_apart(place: Path) -> None:
    commands = [words(place, "apart", "supervised", "--subset", subset, *SHORT) for subset in ("flair", "t1")]
    for code, _, told in ended(as_tasks(*commands)):
        assert code == 2
        assert told.count("\n") == 1 and "supervised-flair-" in told and "supervised-t1-" in told, told
        assert "job array" in told and "env -u SLURM_STEP_NUM_TASKS" in told
    assert not list((place / "apart").glob("*/last"))


def test_a_run_that_somebody_else_finishes_meanwhile_is_left(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = words(place, "raced", "supervised", "--subset", "flair", *SHORT)
    hold = experiment._hold

    def late(folder: Path, locks: Any) -> None:
        (folder / "DONE").parent.mkdir(parents=True)
        (folder / "DONE").write_text("{}")
        hold(folder, locks)

    monkeypatch.setattr(experiment, "_hold", late)
    assert main(given) == 0
    assert not list((place / "raced").glob("*/last"))
