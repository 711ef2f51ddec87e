"""Scores of a block: labels and scores on the scan's grid agree, whatever the spacing and the way the axes run."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from limbeck.data.geometry import Box, Geometry
from limbeck.data.grid import Grid
from limbeck.data.resample import resize
from limbeck.inference.scored import Scored, background
from limbeck.target import Target

# Voxels as they are, finer and coarser ones, thick slices, and more than two voxels into one, which smooths.
SPACINGS = [(1.0, 1.0, 1.0), (0.5, 0.5, 0.6), (1.7, 1.7, 1.3), (0.9, 0.9, 3.0), (3.0, 2.5, 4.0)]
SHAPE = (17, 19, 15)


def scored(target: Target, spacing: tuple[float, float, float], start: float, stop: float) -> Scored:
    """Random scores in the part of the model's space from `start` to `stop` of each axis."""
    affine = np.array([[0, -spacing[1], 0, 9], [spacing[0], 0, 0, 4], [0, 0, spacing[2], 1], [0, 0, 0, 1.0]])
    geometry = Geometry.of(Grid.of(SHAPE, affine), 1.0)
    z, y, x = geometry.shape
    box = Box(
        (int(z * start), int(y * start), int(x * start)), (round(z * stop), round(y * stop), max(1, round(x * stop)))
    )
    generator = torch.Generator().manual_seed(5)
    logits = torch.randn(1, target.channels, *box.shape, generator=generator) * 3
    return Scored(target.activate(logits)[0], box, geometry, target)


@pytest.mark.parametrize("target", Target)
@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize(("start", "stop"), [(0.3, 0.7), (0.0, 0.4), (0.5, 1.0), (0.0, 1.0)])
def test_labels_of_a_block_are_what_the_scores_of_the_whole_scan_decode_to(target, spacing, start, stop) -> None:
    made = scored(target, spacing, start, stop)
    labels = made.labels()
    assert labels.shape == SHAPE and labels.dtype == np.uint8
    assert labels.any(), "a test of background would show nothing"
    assert np.array_equal(labels, target.decode(made.scores()[None])[0].numpy())


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize(("start", "stop"), [(0.3, 0.7), (0.0, 0.4), (0.5, 1.0), (0.0, 1.0)])
def test_scores_of_a_block_are_those_of_the_whole_volume_interpolated(spacing, start, stop) -> None:
    made = scored(Target.SOFTMAX_LABELS, spacing, start, stop)
    whole = background(made.target)[:, None, None, None].repeat(1, *made.geometry.shape)
    whole[(slice(None), *made.box.slices)] = made.inside
    expected = made.geometry.to_native_scores(resize(whole, made.geometry.oriented_shape))
    # To rounding, since an axis after the other is another order than torch's.
    torch.testing.assert_close(made.scores(), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("target", Target)
def test_far_from_the_block_all_is_background(target) -> None:
    made = scored(target, (0.5, 0.5, 0.6), 0.4, 0.6)
    scores = made.scores()
    assert scores.shape == (target.channels, *SHAPE)
    assert torch.equal(scores[:, 0, 0, 0], background(target))
    assert made.labels()[0, 0, 0] == 0
