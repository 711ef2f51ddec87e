"""Processes that read crops: a signal to all, as a terminal sends it, saves the step, and none outlives training."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from begun import Begun
from test_ranks_command import log, only_run, place, words

from limbeck.cli import main

__all__ = ["place"]

LIMIT = 120


def begun(place: Path, out: str) -> Begun:
    """A training with a process that reads crops, in a group of its own, once it has taken steps."""
    given = words(place, out, "supervised", "--subset", "flair", "--workers", "1", "--batch", "1")
    task = Begun(*given, "--steps", "100000", "--log-every", "1", first=os.setsid)
    until = time.monotonic() + LIMIT
    while time.monotonic() < until and not (
        list((place / out).glob("*/log.csv")) and len(log(only_run(place / out))) > 4
    ):
        time.sleep(0.02)
    return task


def group_is_gone(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_whole_group_saves_the_step(place: Path, number: int) -> None:
    task = begun(place, f"signal-{number}")
    os.killpg(task.pid, number)
    told = task.communicate(timeout=LIMIT)[1]
    assert task.returncode == 128 + number
    card = json.loads((only_run(place / f"signal-{number}") / "last" / "checkpoint.json").read_text())
    assert f"after step {card['step']} of 100000, which is kept" in told
    assert group_is_gone(task.pid)


def test_who_reads_crops_for_a_process_that_was_killed_ends(place: Path) -> None:
    task = begun(place, "killed")
    task.kill()
    task.communicate(timeout=LIMIT)
    until = time.monotonic() + 30
    while time.monotonic() < until and not group_is_gone(task.pid):
        time.sleep(0.1)
    assert group_is_gone(task.pid)


@pytest.mark.parametrize(
    "damaged",
    [
        pytest.param("reference.nii.gz", id="met by the training process, in validation"),
        pytest.param("flair.npy", id="met by the process that reads crops"),
    ],
)
def test_an_error_is_told_as_without_them_and_ends_them(place: Path, tmp_path: Path, capsys, damaged: str) -> None:
    root = tmp_path / "root"
    shutil.copytree(place / "cohort", root / "cohort")
    for file in (root / "cohort" / "cases").glob(f"*/{damaged}"):
        file.write_bytes(file.read_bytes()[:200])
    given = ["supervised", "--subset", "flair", "--steps", "2", "--batch", "1"]
    capsys.readouterr()
    code = main(words(root, "alone", *given))
    said = capsys.readouterr().err
    assert code == 3 and said.count("\n") == 1
    task = Begun(*words(root, "beside", *given), "--workers", "1", first=os.setsid)
    assert (task.communicate(timeout=LIMIT)[1], task.returncode) == (said, code)
    assert group_is_gone(task.pid)
