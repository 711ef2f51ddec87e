"""What is left to train is what the first process sees, whatever the others see of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from limbeck import ranks
from limbeck.errors import UsageError
from limbeck.launch import Launch
from limbeck.training import meeting
from limbeck.training.meeting import left_of
from limbeck.training.trainer import TrainingSettings

ONE, OTHER = Path("runs/one"), Path("runs/other")
SETTINGS = TrainingSettings(device="cpu")


@pytest.fixture
def first_says(monkeypatch):
    """This is the second of two processes; gives what makes the first one say something."""
    met = []
    monkeypatch.setattr(meeting, "launch", lambda: Launch(1, 2, 1))
    monkeypatch.setattr(meeting, "fabric_for", met.append)

    def saying(finished):
        said = json.dumps({str(folder): done for folder, done in finished.items()})
        monkeypatch.setattr(ranks, "told", lambda text: [said, text])
        return met

    return saying


@pytest.mark.parametrize("here", [True, False])
def test_the_first_process_knows_what_is_finished(first_says, here):
    met = first_says({ONE: True, OTHER: False})
    assert left_of({ONE: here, OTHER: here}, SETTINGS) == [OTHER]
    assert met == [SETTINGS], "also where everything looks finished from here"


def test_other_runs_are_refused_even_if_they_are_finished(first_says):
    first_says({ONE: True})
    with pytest.raises(UsageError, match=r"process 0 of 2 trains runs/one and process 1 runs/other: .*job array"):
        left_of({OTHER: True}, SETTINGS)


def test_alone_nobody_is_met(monkeypatch):
    monkeypatch.setattr(meeting, "fabric_for", None)
    assert left_of({ONE: True, OTHER: False}, SETTINGS) == [OTHER]
