"""Probabilities of regions, whatever a network's outputs mean."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from limbeck.anatomy import Region, Subset
from limbeck.data.grid import Grid
from limbeck.inference.choice import Choice
from limbeck.inference.segmentation import Segmentation
from limbeck.target import Target

SHAPE = (5, 6, 7)


def segmentation(target: Target, background: float = 0.0) -> Segmentation:
    logits = torch.randn(1, target.channels, *SHAPE) * 2
    logits[:, 0] += background
    scores = target.activate(logits)
    labels = target.decode(scores)[0].numpy()
    choice = Choice(Subset.parse("flair"), ("one",), "specialist")
    return Segmentation(labels, scores[0].numpy(), Grid.of(SHAPE, np.eye(4)), target, choice)


@pytest.mark.parametrize("target", Target)
def test_probabilities_of_regions_are_nested_and_within_bounds(target) -> None:
    found = segmentation(target).regions()
    assert found.shape == (3, *SHAPE) and found.dtype == np.float32
    assert found.min() >= 0 and found.max() <= 1
    assert (found[Region.WT] >= found[Region.TC]).all() and (found[Region.TC] >= found[Region.ET]).all()


def test_probabilities_of_regions_agree_with_the_mask() -> None:
    made = segmentation(Target.SIGMOID_REGIONS)
    for region in Region:
        assert np.array_equal(made.regions()[region] > 0.5, np.isin(made.labels, list(region.labels)))


def test_a_sum_of_rounded_shares_is_no_more_than_certain() -> None:
    made = segmentation(Target.SOFTMAX_LABELS, background=-50)
    assert (made.scores[1:].sum(0) > 1).any(), "shares that round up are what this is about"
    assert made.regions().max() == 1


def test_exclusive_labels_add_up() -> None:
    made = segmentation(Target.SOFTMAX_LABELS)
    _, necrotic, oedema, enhancing = made.scores
    expected = np.stack([necrotic + oedema + enhancing, necrotic + enhancing, enhancing])
    np.testing.assert_allclose(made.regions(), expected, atol=1e-6)


def test_of_separate_decisions_the_greatest_counts() -> None:
    made = segmentation(Target.SIGMOID_LABELS)
    assert np.array_equal(made.regions()[Region.WT] > 0.5, made.labels > 0)
    assert np.array_equal(made.regions()[Region.ET], made.scores[2])
