"""Test-time flips: the mean over all eight mirror images, each laid back where it belongs."""

from __future__ import annotations

from itertools import product

import numpy as np
import torch
from heads import affine, head, make_run

from limbeck.inference.flips import flipped_mean
from limbeck.inference.model import Model


def test_all_eight_flips_are_averaged_where_they_belong() -> None:
    images = torch.rand(4, 3, 4, 5)
    ramp = torch.rand(2, 3, 4, 5)
    seen = []

    def score(turned: torch.Tensor) -> torch.Tensor:
        seen.append(turned)
        return turned[:2] * ramp

    found = flipped_mean(score, images)
    flips = [
        [axis for axis, chosen in zip((1, 2, 3), mask, strict=True) if chosen] for mask in product((0, 1), repeat=3)
    ]
    assert len(seen) == 8
    for axes in flips:
        assert any(torch.equal(images.flip(axes), turned) for turned in seen)
    # A flip there and back moves the ramp and leaves the image.
    expected = torch.stack([images[:2] * ramp.flip(axes) for axes in flips]).mean(0)
    torch.testing.assert_close(found, expected)


def test_what_does_not_see_sides_is_not_changed() -> None:
    images = torch.rand(4, 3, 4, 5)
    torch.testing.assert_close(flipped_mean(lambda turned: turned[:3] ** 2, images), images[:3] ** 2)


def test_flips_leave_a_mask_blind_to_what_is_absent_and_repeatable(tmp_path) -> None:
    model = Model.load(make_run(tmp_path / "run", "dropout"), "cpu", "float32")
    made = head()
    patient = model.read({"t1": (made["t1"], affine())})
    first = model.compute(patient, flips=True)
    assert np.array_equal(first.scores, model.compute(patient, flips=True).scores)
    assert not np.array_equal(first.scores, model.compute(patient).scores)
    patient.prepared.images[[0, 2, 3]] = 9
    assert np.array_equal(first.scores, model.compute(patient, flips=True).scores)


def test_a_flipped_head_gets_the_flipped_mask(tmp_path) -> None:
    model = Model.load(make_run(tmp_path / "run"), "cpu", "float32")
    scan = head()["flair"]
    found = model.segment({"flair": (scan, affine())}, flips=True)
    mirrored = model.segment({"flair": (scan[::-1].copy(), affine())}, flips=True)
    np.testing.assert_allclose(mirrored.scores, found.scores[:, ::-1], atol=1e-5)
