"""Hard overlap: the score that counts, and the one that flatters."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from limbeck.evaluation import metrics
from limbeck.evaluation.pair import Pair
from limbeck.overlap import hard_dice, legacy_slice_mean

SCORES = pytest.mark.parametrize("score", [hard_dice, legacy_slice_mean])


def ball(radius: int, side: int = 32) -> Tensor:
    """A ball in the middle of a cube, `[1,D,H,W]` bool."""
    axis = torch.arange(side) - side // 2
    squares = axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + axis[None, None, :] ** 2
    return (squares <= radius**2)[None]


def test_dice_by_hand() -> None:
    """Overlaps of 2, 0 and 1 voxels."""
    found = torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0], [1, 0, 0, 0]]).bool()
    truth = torch.tensor([[0, 1, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0]]).bool()
    scores = hard_dice(found, truth)
    assert scores.dtype is torch.float32
    assert scores.tolist() == pytest.approx([4 / 5, 0, 1])


@pytest.mark.parametrize(("here", "there"), [(hard_dice, metrics.dice), (legacy_slice_mean, metrics.legacy_slice_mean)])
def test_scores_are_those_of_evaluation(here, there) -> None:
    """Evaluation's arrays are x, y, z; tensors are z, y, x. Sample 2 is half empty, sample 3 wholly."""
    torch.manual_seed(0)
    found, truth = torch.rand(4, 5, 6, 7) > 0.7, torch.rand(4, 5, 6, 7) > 0.4
    found[2, :, :, 2:], truth[2, :, :, 3:], found[3], truth[3] = False, False, False, False
    expected = [
        there(Pair(one.numpy().transpose(2, 1, 0), other.numpy().transpose(2, 1, 0), (1.0, 1.0, 1.0)))
        for one, other in zip(found, truth, strict=True)
    ]
    assert here(found, truth).tolist() == pytest.approx(expected)


@SCORES
def test_two_empty_masks_agree_and_identical_ones_too(score) -> None:
    nothing = torch.zeros(1, 32, 32, 32, dtype=torch.bool)
    assert score(nothing, nothing).tolist() == [1]
    assert score(ball(5), ball(5)).tolist() == [1]


@SCORES
def test_samples_are_scored_alone(score) -> None:
    found, truth = torch.cat([ball(6), ball(3)]), torch.cat([ball(5), ball(5)])
    assert score(found, truth).tolist() == [score(ball(6), ball(5)).item(), score(ball(3), ball(5)).item()]


def test_slices_by_hand() -> None:
    """Along x, the last axis: empty in both, missed, found in half; the others would give other means."""
    truth = torch.zeros(1, 4, 4, 3, dtype=torch.bool)
    truth[:, 0, :, 1:] = True
    found = torch.zeros_like(truth)
    found[:, 0, :2, 2] = True
    assert legacy_slice_mean(found, truth).tolist() == pytest.approx([(1 + 0 + 2 / 3) / 3])
    assert legacy_slice_mean(found.transpose(1, 3), truth.transpose(1, 3)).tolist() != pytest.approx([5 / 9])


@pytest.mark.parametrize("radius", [0, 2, 4])
def test_background_alone_scores_nothing_and_yet_high_by_slices(radius: int) -> None:
    """As high as the share of slices without tumour: 31, 27 and 23 of 32."""
    tumour = ball(radius)
    nothing = torch.zeros_like(tumour)
    assert hard_dice(nothing, tumour).tolist() == [0]
    assert legacy_slice_mean(nothing, tumour).tolist() == pytest.approx([1 - (2 * radius + 1) / 32])


def test_the_same_mistake_costs_less_by_slices() -> None:
    """Half a small tumour."""
    tumour = ball(4)
    half = tumour & (torch.arange(32) < 16)
    assert hard_dice(half, tumour) < 0.7 < 0.8 < legacy_slice_mean(half, tumour)
