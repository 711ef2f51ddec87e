"""Checkpoints hold all that a next step depends on; of a damaged one it is told, and the one before is used."""

from __future__ import annotations

import json
import logging
import os
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from toy import SIZE, make

from limbeck.errors import ModelError, ResourceError
from limbeck.methods.saved import Card, load_card, load_part
from limbeck.training import randomness
from limbeck.training.checkpoint import (
    BEST,
    LAST,
    Best,
    Position,
    best_of,
    restore,
    save_best,
    save_last,
    saved_card,
)
from limbeck.training.log import Log, LogState
from limbeck.training.optimise import Optimisers, OptimiserSettings


def saved(folder: Path, *steps: int, origin: dict[str, object] | None = None) -> Card:
    method = make("supervised")
    card = Card(
        "supervised",
        vars(method.settings),
        method.context.subsets,
        method.target,
        2.0,
        (SIZE,) * 3,
        origin=origin or {"experiment": "a" * 64},
        label_scheme="brats-2018-2022",
    )
    for step in steps:
        with torch.no_grad():
            next(method.parameters()).add_(1.0)
        log = LogState(7, {"loss": (0.1 + 0.2, 3.0)})
        save_last(
            folder, method, card, Position(step, Best(2, 0.25), True, log), Optimisers(method, OptimiserSettings())
        )
    return card


def restored(folder: Path, card: Card) -> Position:
    method = make("supervised", seed=3)
    return restore(folder, method, Optimisers(method, OptimiserSettings()), card)


def test_a_position_comes_back_with_every_bit(tmp_path) -> None:
    card = saved(tmp_path, 5)
    found = restored(tmp_path, card)
    assert found == Position(5, Best(2, 0.25), True, LogState(7, {"loss": (0.1 + 0.2, 3.0)}))


def test_a_finished_run_tells_of_the_best_weights_that_lie_there(tmp_path) -> None:
    """Also where they are of steps that a kill has lost, and that came to other bits the second time."""
    card, method = saved(tmp_path, 2), make("supervised")
    save_best(tmp_path, method, card, 4, 0.75, Best(2, 0.25))
    # The second time step 4 is no better than what the checkpoint of step 2 knows.
    again = restored(tmp_path, card).best
    assert save_best(tmp_path, method, card, 4, 0.2, again) == again == Best(2, 0.25)
    assert best_of(tmp_path) == {"best_step": 4, "validation_dice": 0.75}


def test_a_checkpoint_says_with_what_it_was_made(tmp_path) -> None:
    saved(tmp_path, 5)
    written = json.loads((tmp_path / LAST / "checkpoint.json").read_text())
    assert written["channels"] == ["flair", "t1", "t1ce", "t2"] and written["normalisation"] == "z-score"
    assert written["label_scheme"] == "brats-2018-2022"
    assert written["torch"] == torch.__version__ and written["numpy"] == np.__version__
    assert written["python"].startswith("3.") and written["limbeck"]
    assert all(len(digest) == 64 for digest in written["files"].values())


def test_every_generator_goes_on_where_it_was(tmp_path) -> None:
    # Halfway through a pair of normal numbers, of which the second is kept for the next call.
    np.random.standard_normal()
    random.gauss(0, 1)
    card = saved(tmp_path, 5)

    def drawn() -> list[float]:
        numbers = [float(torch.rand(())), float(np.random.standard_normal()), float(np.random.rand())]
        return [*numbers, random.gauss(0, 1), random.random()]

    right = drawn()
    randomness.seed(99)
    assert drawn() != right
    restored(tmp_path, card)
    assert drawn() == right


def test_a_seed_starts_every_generator() -> None:
    found = []
    for _ in range(2):
        randomness.seed(2**62 + 5)
        found.append((float(torch.rand(())), float(np.random.rand()), random.random()))
    assert found[0] == found[1]


@pytest.mark.parametrize("damage", ["weights", "state", "card", "no card"])
def test_a_damaged_newest_checkpoint_is_reported_and_the_one_before_is_used(damage, tmp_path, caplog) -> None:
    card = saved(tmp_path, 4, 6)
    last = tmp_path / LAST
    path = last / "checkpoint.json" if "card" in damage else next(last.glob(f"{damage}-000006-*"))
    if damage == "no card":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-20])
    with caplog.at_level(logging.WARNING, "limbeck"):
        assert restored(tmp_path, card).step == 4
    (told,) = [record.getMessage() for record in caplog.records]
    assert path.name in told and "step 4" in told and "\n" not in told
    # Who only asks is told nothing.
    caplog.clear()
    found = saved_card(tmp_path, tell=False)
    assert found is not None and found.step == 4 and not caplog.records


@pytest.mark.parametrize("part", [LAST, BEST])
def test_what_a_kill_left_beside_a_checkpoint_goes_when_the_run_goes_on(part, tmp_path) -> None:
    card = saved(tmp_path, 4, 6)
    kept = {path.name for path in (tmp_path / LAST).iterdir()}
    (tmp_path / part).mkdir(exist_ok=True)
    names = ("weights-000002-01234567.safetensors", ".0123456789ab.tmp.state-000008-01234567.safetensors")
    for name in names:
        (tmp_path / part / name).touch()
    restored(tmp_path, card)
    assert {path.name for path in (tmp_path / LAST).iterdir()} == kept
    assert not any((tmp_path / part / name).exists() for name in names)


def test_nothing_goes_beside_a_card_that_cannot_be_read(tmp_path) -> None:
    card = saved(tmp_path, 4, 6)
    (tmp_path / LAST / "previous.json").write_text("{")
    before = {path.name for path in (tmp_path / LAST).iterdir()}
    restored(tmp_path, card)
    assert {path.name for path in (tmp_path / LAST).iterdir()} == before


def test_without_a_whole_checkpoint_nothing_goes_on(tmp_path) -> None:
    card = saved(tmp_path, 4, 6)
    for path in (tmp_path / LAST).glob("state-*"):
        path.write_bytes(b"short")
    with pytest.raises(ModelError, match=r"state-000006.*state-000004"):
        restored(tmp_path, card)
    assert saved_card(tmp_path / "new") is None


@pytest.mark.parametrize(
    ("name", "then", "now"),
    [
        ("experiment", "a" * 64, "b" * 64),
        ("teacher_weights", {"teacher": "c" * 64}, {"teacher": "d" * 64}),
    ],
)
def test_a_checkpoint_of_something_else_is_refused(name, then, now, tmp_path) -> None:
    card = saved(tmp_path, 4, origin={name: then})
    assert restored(tmp_path, card).step == 4
    with pytest.raises(ModelError, match=name):
        restored(tmp_path, saved(tmp_path / "other", 4, origin={name: now}))


def test_a_checkpoint_of_an_earlier_version_still_goes_on(tmp_path) -> None:
    """It knows nothing of half a line, of NumPy or of a step whose validation is still to come."""
    card = saved(tmp_path, 4)
    path = tmp_path / LAST / "checkpoint.json"
    content = json.loads(path.read_text())
    for name in ("progress", "label_scheme", "numpy", "python"):
        del content[name]
    path.write_text(json.dumps(content))
    position = restored(tmp_path, card)
    assert (position.step, position.best, position.pending) == (4, Best(2, 0.25), False)
    (tmp_path / "log.csv").write_text("step,epoch,name,value\n2,0,loss,1\n4,0,loss,1\n6,0,loss,1\n7,0,lo")
    log = Log(tmp_path / "log.csv", position.step, position.log)
    assert (tmp_path / "log.csv").read_text().split() == ["step,epoch,name,value", "2,0,loss,1", "4,0,loss,1"]
    assert log.state.rows == 2


def test_the_random_state_is_a_part_of_the_state(tmp_path) -> None:
    saved(tmp_path, 4)
    last = tmp_path / LAST
    state = load_part(last, load_card(last), "state")
    assert {"random/cpu", "random/numpy", "random/python", "best"} <= state.keys()


def test_a_line_is_on_the_disk_before_a_checkpoint_counts_it(tmp_path, monkeypatch) -> None:
    log = Log(tmp_path / "log.csv")
    synced: list[int] = []
    sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (synced.append(os.fstat(descriptor).st_size), sync(descriptor)))
    log.add({"loss": 0.5})
    log.write(1, 0)
    assert synced[-1] == (tmp_path / "log.csv").stat().st_size
    assert log.state == LogState(1, {})


def test_a_disk_that_is_full_under_the_log_is_told_with_its_name_and_the_line_in_part_goes(tmp_path) -> None:
    path = tmp_path / "log.csv"
    log = Log(path)
    log.write(1, 0, {"loss": 0.5})
    state, whole = log.state, path.read_text()
    path.unlink()
    # /dev/full answers every write as a full disk does.
    path.symlink_to("/dev/full")
    with pytest.raises(ResourceError, match=r"log\.csv cannot be written: No space left"):
        log.write(2, 0, {"loss": 0.25})
    path.unlink()
    path.write_text(whole + "2,0,lo")
    Log(path, 2, state)
    assert path.read_text() == whole
