"""A run that is stopped at any moment and goes on ends as one that nothing stopped: weights, state and log."""

from __future__ import annotations

import csv
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Here, since on its way in it draws from Python's generator, and the first run of a process would differ.
import lightning.fabric  # noqa: F401
import pytest
import torch
from safetensors.torch import load_file
from toy import SIZE, batch, make

from limbeck.batch import Batch
from limbeck.methods import METHODS
from limbeck.methods.base import Method
from limbeck.methods.saved import Card, load_card
from limbeck.training import trainer
from limbeck.training.checkpoint import BEST, LAST
from limbeck.training.interrupts import Interrupted, heed, heeded, impatiently, patiently, requested
from limbeck.training.optimise import DivergedError, OptimiserSettings
from limbeck.training.trainer import Job, TrainingSettings, fabric_for, train

SETTINGS = TrainingSettings(
    steps=7, epoch_steps=2, validate_every=3, save_every=4, log_every=3, precision="float32", device="cpu"
)
OPTIMISER = OptimiserSettings(learning_rate=2e-3)
# What holds here holds at any depth.
pytestmark = pytest.mark.usefixtures("shallow_unet")
# After which steps each method stops.
STOPS: dict[str, tuple[int, ...]] = {**dict.fromkeys(METHODS, (5,)), "supervised": (1, 2, 3, 4, 5, 6, 7)}
# One that descends once a step, and one that descends twice and keeps scores over an epoch.
ONCE_AND_TWICE = ("supervised", "mtcmkd")


class Killed(BaseException):
    """As good as kill -9: nothing runs after it."""


def score(method: Method[Any]) -> float:
    """What the weights are, as a validation sees them; it draws, as a careless one might."""
    noise = float(torch.rand(()))
    return sum(float(value.detach().double().abs().mean()) for value in method.parameters()) + 1e-3 * noise


def run(
    folder: Path,
    name: str = "supervised",
    seed: int = 0,
    validate: Callable[[Method[Any]], float] = score,
    report: Callable[[int, float], None] = lambda done, loss: None,
    spoil: Callable[[int, Batch], Batch] = lambda step, data: data,
) -> None:
    """Train in a fresh state, as a new process would."""
    torch.manual_seed(1234 + seed)
    method = make(name, seed=seed, dropout=0.2)
    card = Card(name, vars(method.settings), method.context.subsets, method.target, 2.0, (SIZE,) * 3)

    def batches(start: int) -> Iterator[Batch]:
        for step in range(start, SETTINGS.steps):
            yield spoil(step, batch(method.context.subsets, seed=step))

    torch.manual_seed(1234 + seed)
    train(method, Job(folder, card, batches, validate, report), SETTINGS, OPTIMISER, fabric_for(SETTINGS))


def kill(number: int) -> None:
    os.kill(os.getpid(), number)


def left(folder: Path) -> dict[str, Any]:
    """All that a run leaves, but for how long it took."""
    log = [row for row in csv.reader((folder / "log.csv").open()) if row[2] != "seconds"]
    cards = {part: json.loads((folder / part / "checkpoint.json").read_text()) for part in (LAST, BEST)}
    for card in cards.values():
        card["progress"].get("log", {}).get("sums", {}).pop("seconds", None)
    return {"log": log, "cards": cards}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("whole")
    run(folder)
    return left(folder)


@pytest.mark.parametrize(("name", "turns"), STOPS.items(), ids=STOPS)
def test_stopped_after_any_step_it_ends_the_same(name, turns, tmp_path) -> None:
    run(tmp_path / "whole", name)

    def report(done: int, loss: float) -> None:
        if done in turns:
            kill(signal.SIGTERM)

    with heeded():
        for turn in turns:
            with pytest.raises(Interrupted) as stop:
                run(tmp_path / "stopped", name, report=report)
            assert stop.value.number == signal.SIGTERM
            assert f"step {turn} of 7" in stop.value.note and str(tmp_path) in stop.value.note
            assert load_card(tmp_path / "stopped" / LAST).step == turn
    # As another process, which begins with other weights and draws other numbers.
    run(tmp_path / "stopped", name, seed=5)
    assert left(tmp_path / "stopped") == left(tmp_path / "whole")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_validation_that_is_broken_off_is_made_again(number, whole, tmp_path) -> None:

    def broken(method: Method[Any]) -> float:
        torch.rand(3)
        kill(number)
        raise AssertionError("the validation went on")

    with heeded():
        # At step 3, again at step 3, and at the end.
        for _ in range(2):
            with pytest.raises(Interrupted):
                run(tmp_path, validate=broken)
            assert load_card(tmp_path / LAST).step == 3
        calls = iter((score, score, broken))

        def third_broken(method: Method[Any]) -> float:
            return next(calls)(method)

        with pytest.raises(Interrupted):
            run(tmp_path, validate=third_broken)
        assert load_card(tmp_path / LAST).step == 7
    run(tmp_path)
    assert left(tmp_path) == whole


@pytest.mark.parametrize("moment", ["save_last", "save_best"])
@pytest.mark.parametrize("turn", [1, 2])
def test_killed_around_a_save_it_ends_the_same(moment, turn, whole, tmp_path, monkeypatch) -> None:
    """Right before a regular checkpoint; right after the best was written and before the last was."""
    saved, calls = getattr(trainer, moment), iter(range(1, 10))

    def dying(*given: Any) -> Any:
        if moment == "save_best":
            saved(*given)
        if next(calls) == turn:
            raise Killed
        return saved(*given)

    with monkeypatch.context() as patch:
        patch.setattr(trainer, moment, dying)
        with pytest.raises(Killed):
            run(tmp_path)
    run(tmp_path)
    assert left(tmp_path) == whole


def test_killed_after_a_validation_that_was_made_again_no_line_is_written_twice(whole, tmp_path, monkeypatch) -> None:
    def killed(*given: Any) -> None:
        raise Killed

    with heeded(), pytest.raises(Interrupted):
        run(tmp_path, validate=lambda method: kill(signal.SIGTERM))
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "save_best", killed)
        with pytest.raises(Killed):
            run(tmp_path)
    run(tmp_path)
    assert left(tmp_path) == whole


def test_a_second_signal_does_not_wait_and_leaves_the_checkpoint_before(whole, tmp_path, monkeypatch) -> None:
    saved = trainer.save_last

    def slow(*given: Any) -> None:
        if given[3].step == 5:
            kill(signal.SIGINT)
            raise AssertionError("it went on")
        saved(*given)

    with heeded(), monkeypatch.context() as patch:
        patch.setattr(trainer, "save_last", slow)
        with pytest.raises(Interrupted):
            run(tmp_path, report=lambda done, loss: kill(signal.SIGINT) if done == 5 else None)
    assert load_card(tmp_path / LAST).step == 4
    run(tmp_path)
    assert left(tmp_path) == whole


def test_without_the_handler_ctrl_c_is_what_it_always_was(tmp_path) -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt) as stop:
        run(tmp_path, report=lambda done, loss: kill(signal.SIGINT))
    assert not isinstance(stop.value, Interrupted)
    with heeded():
        assert signal.getsignal(signal.SIGINT) is heed
    assert signal.getsignal(signal.SIGINT) is before


def test_a_signal_that_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with heeded(), patiently():
            kill(signal.SIGTERM)
            assert not requested()
    finally:
        signal.signal(signal.SIGTERM, before)


def test_what_breaks_after_a_signal_was_broken_by_it() -> None:
    """A signal to a whole group ends other processes of one training, and torch raises for them."""
    with heeded(), pytest.raises(Interrupted) as stop, patiently():
        kill(signal.SIGTERM)
        raise RuntimeError("Connection closed by peer")
    assert stop.value.number == signal.SIGTERM
    with heeded(), pytest.raises(RuntimeError), patiently():
        raise RuntimeError("a failure of its own")


def test_an_impatient_stretch_ends_at_once_even_for_a_signal_from_before() -> None:
    with heeded():
        with pytest.raises(Interrupted), patiently():
            kill(signal.SIGTERM)
            with impatiently():
                raise AssertionError("it was entered")
        with pytest.raises(Interrupted), patiently(), impatiently():
            kill(signal.SIGTERM)
            raise AssertionError("it went on")


# --- what is no longer finite -----------------------------------------------------------------------------------------


def spoilt(at: int) -> Callable[[int, Batch], Batch]:
    """One voxel of a batch is NaN."""

    def spoil(step: int, data: Batch) -> Batch:
        if step == at:
            data.view.images[0, 0, 5, 5, 5] = float("nan")
            data.complete[0, 0, 5, 5, 5] = float("nan")
        return data

    return spoil


@pytest.mark.parametrize("name", ONCE_AND_TWICE)
def test_nan_in_a_loss_keeps_the_step_for_study_and_the_checkpoint(name, tmp_path) -> None:
    with pytest.raises(DivergedError, match=r"(?s)loss term \S+ is nan at step 5 .*case0, case1.*diverged") as error:
        run(tmp_path, name, spoil=spoilt(5))
    assert "\n" not in str(error.value)
    assert load_card(tmp_path / LAST).step == 4
    kept = load_card(tmp_path / "diverged")
    assert kept.step == 5
    report = json.loads((tmp_path / "diverged" / "step.json").read_text())
    assert report["step"] == 5 and report["cases"] == ["case0", "case1"]
    assert len(report["origins"]) == len(report["available"]) == 2
    assert report["not_finite"] and all(report["values"][term] == "nan" for term in report["not_finite"])
    assert report["values"]["learning_rate"] > 0
    # The weights are those with which the step began, also of a method that had moved some of them in it.
    with heeded(), pytest.raises(Interrupted):
        run(tmp_path / "before", name, report=lambda done, loss: kill(signal.SIGTERM) if done == 5 else None)
    (before,), (found,) = (
        list((tmp_path / part).glob("weights-000005-*.safetensors")) for part in ("before/last", "diverged")
    )
    right, weights = load_file(before), load_file(found)
    assert right.keys() == weights.keys()
    assert all(torch.equal(right[key], weights[key]) for key in right)


def test_a_gradient_that_is_not_finite_names_its_group_and_is_kept_too(tmp_path, monkeypatch) -> None:
    kind = type(make("supervised"))
    plain = kind.training_step

    def steep(self: Any, data: Batch, progress: Any) -> Iterator[Any]:
        for objectives in plain(self, data, progress):
            if progress.step == 5:
                # The root of zero has an infinite slope: a finite loss with a gradient that is not.
                objectives["main"]["segmentation"] = (objectives["main"]["segmentation"] * 0.0).sqrt()
            yield objectives

    monkeypatch.setattr(kind, "training_step", steep)
    with pytest.raises(DivergedError, match="gradient of group main is nan at step 5"):
        run(tmp_path)
    report = json.loads((tmp_path / "diverged" / "step.json").read_text())
    assert report["not_finite"] == ["main/gradient_norm"]
    assert load_card(tmp_path / LAST).step == 4 and load_card(tmp_path / "diverged").step == 5
