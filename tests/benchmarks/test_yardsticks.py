"""What is timed beside ours gives the same results, and what does not is never timed."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

pytest.importorskip("monai")

import yardstick_agreement
import yardstick_bundle
import yardstick_files
import yardstick_monai
import yardstick_ours
import yardstick_window
from briefly_trained import FLAIR, Trained
from briefly_trained import Sizes as PredictionSizes
from monai import transforms as mt
from turns import by_turns, tell_ratios
from yardstick_ours import Sizes, imported

from limbeck.anatomy import Subset
from limbeck.inference.model import Model
from limbeck.methods import build, find
from limbeck.methods.base import Context
from limbeck.methods.saved import Card, save
from limbeck.phantom.cohort import write
from limbeck.target import Target

SIZES = Sizes(spacing=6.0, cases=2, width=8, side=24, batch=1, steps=1)


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("yardsticks") / "phantoms"
    write(folder, 2, spacing_mm=6.0, workers=1)
    return folder


@pytest.fixture(scope="module")
def cohort(phantoms):
    return imported(phantoms, phantoms.parent / "cohort", SIZES)


@pytest.fixture(scope="module")
def trained(phantoms, cohort):
    torch.manual_seed(0)
    method = build("supervised", find("supervised").Settings(width=8), Context((FLAIR,))).eval()
    folder = phantoms.parent / "model"
    # One window holds every brain.
    save(folder, method, Card("supervised", {"width": 8}, (FLAIR,), Target.SOFTMAX_LABELS, 6.0, (40, 40, 40)))
    return Trained(method, folder, cohort, phantoms)


class Rows(list):
    def __call__(self, what, value, how):
        self.append((what, value, how))


def test_ways_take_turns_in_both_directions_after_one_to_warm_up():
    order = []
    seconds = by_turns({name: lambda name=name: order.append(name) for name in "ab"}, rounds=3)
    assert order == ["b", "a", "a", "b", "b", "a", "a", "b"]
    assert {name: len(values) for name, values in seconds.items()} == {"a": 3, "b": 3}


def test_a_ratio_is_the_median_over_pairs_and_above_one_where_ours_is_quicker():
    rows = Rows()
    tell_ratios(rows, {"ours": [1.0, 2.0, 4.0], "MONAI": [3.0, 2.0, 6.0]}, "ours", "a step")
    assert rows == [("ratio MONAI / ours, a step", "1.50", "paired, 1.00 to 3.00 over 3 turns")]


@pytest.mark.parametrize("name", ["flair", "all"])
def test_both_ways_of_training_do_the_same_work(cohort, phantoms, name):
    assert "loss" in yardstick_agreement.agreement(cohort, phantoms, Subset.parse(name), SIZES)


def test_training_on_another_image_is_not_timed(cohort, phantoms, monkeypatch):
    plain = yardstick_agreement.prepared
    spoilt = [mt.ScaleIntensityd(keys="image")]
    monkeypatch.setattr(yardstick_agreement, "prepared", lambda *sizes: [*plain(*sizes), *spoilt])
    with pytest.raises(SystemExit, match="each its own crop: loss and gradients differ"):
        yardstick_agreement.agreement(cohort, phantoms, FLAIR, SIZES)


def test_both_epochs_learn(cohort, phantoms, monkeypatch):
    make, made = yardstick_ours.make_method, []
    for module in (yardstick_ours, yardstick_monai):
        monkeypatch.setattr(module, "make_method", lambda *given: made.append(make(*given)) or made[-1])
    kept = yardstick_monai.cache(phantoms, FLAIR, SIZES.spacing, SIZES.patch)
    epochs = yardstick_ours.our_epoch(cohort, FLAIR, SIZES), yardstick_monai.their_epoch(kept, FLAIR, SIZES, 0)
    for epoch, method in zip(epochs, made, strict=True):
        for _ in range(2):
            before = [parameter.detach().clone() for parameter in method.parameters()]
            epoch()
            assert not any(map(torch.equal, before, method.parameters()))


def test_both_windows_give_the_same_scores(trained):
    rows = Rows()
    yardstick_window.measure(rows, trained, window=24, rounds=1)
    agreement = {what: float(value) for what, value, _ in rows if what.startswith("agreement")}
    assert agreement["agreement with MONAI by one window, float32"] < 1e-5
    assert agreement["agreement with MONAI by four windows, float32"] < 1e-5
    assert any(what.startswith("ratio MONAI over the whole scan") for what, _, _ in rows)


def test_windows_with_other_scores_are_not_timed(trained, monkeypatch):
    theirs = yardstick_window.sliding_window_inference
    monkeypatch.setattr(
        yardstick_window, "sliding_window_inference", lambda *given, **how: theirs(*given, **how) + 1e-3
    )
    with pytest.raises(SystemExit, match="scores differ from ours"):
        yardstick_window.measure(Rows(), trained, window=24, rounds=1)


def test_the_script_gives_our_mask(trained, tmp_path, monkeypatch):
    (weights,) = trained.folder.glob("weights-*.safetensors")
    words = ["--weights", weights, "--scan", trained.scan, "--out", tmp_path, "--spacing", 6, "--window", 40]
    monkeypatch.setattr(sys, "argv", ["yardstick_bundle.py", *map(str, words), "--width", "8", "--crop"])
    yardstick_bundle.main()
    theirs = yardstick_files._read(tmp_path / trained.scan.name)
    ours = Model.load(trained.folder, precision="float32").segment({"flair": trained.scan}).labels
    codes = np.array([0, 1, 2, 4], np.uint8)[ours]
    assert len(np.unique(ours)) > 1
    assert np.mean(codes == theirs) > 0.999


def test_masks_that_differ_are_not_timed():
    ours = np.zeros((10, 10, 10), np.uint8)
    ours[2:7, 2:7, 2:7] = 2
    shifted = np.roll(ours, 1, axis=0)
    masks = {yardstick_files.OURS: ours, yardstick_files.CROPPED: shifted, yardstick_files.PLAIN: shifted * 0}
    sizes = PredictionSizes(made=1.0, spacing=1.0)
    with pytest.raises(SystemExit, match=r"'WT': 0\.8"):
        yardstick_files._tell_agreement(Rows(), yardstick_files.CROPPED, masks, sizes)
    # With resampling between, masks are alike and no more.
    rows = Rows()
    yardstick_files._tell_agreement(rows, yardstick_files.CROPPED, masks, replace(sizes, spacing=2.0))
    # The windows of the plain script lie elsewhere: its masks are told as they are.
    yardstick_files._tell_agreement(rows, yardstick_files.PLAIN, masks, sizes)
    assert [value[:9] for _, value, _ in rows] == ["WT 0.8000", "WT 0.0000"]


def test_masks_without_tumour_prove_nothing():
    empty = np.zeros((4, 4, 4), np.uint8)
    masks = {yardstick_files.OURS: empty, yardstick_files.CROPPED: empty}
    with pytest.raises(SystemExit, match="in 0 voxels of tumour"):
        yardstick_files._tell_agreement(Rows(), yardstick_files.CROPPED, masks, PredictionSizes())
