"""Regions as masks: means, resizing, cascade region attention, and regions that are not there."""

import math
from functools import partial

import pytest
import torch

from limbeck import losses
from limbeck.errors import UsageError

POOLINGS = ("mean", "max", "min", "mid")


@pytest.fixture
def features():
    torch.manual_seed(0)
    return torch.randn(2, 5, 4, 4, 4, dtype=torch.float64)


@pytest.fixture
def masks():
    """WT in both samples, ET in the first alone."""
    found = torch.zeros(2, 2, 4, 4, 4)
    found[:, 0, :3] = 1
    found[0, 1, :1, :2] = 1
    return found


def test_means_by_hand():
    features = torch.tensor([[[1.0, 2.0, 6.0], [0.0, 4.0, -2.0]]])
    masks = torch.tensor([[[1, 1, 0], [0, 0, 1], [0, 0, 0]]])
    means, valid = losses.region_means(features, masks)
    assert means.tolist() == [[[1.5, 2.0], [6.0, -2.0], [0.0, 0.0]]]
    assert valid.tolist() == [[True, True, False]]


def test_means_equal_those_of_selected_voxels(features, masks):
    means, valid = losses.region_means(features, masks)
    assert valid.tolist() == [[True, True], [True, False]]
    for sample, region in [(0, 0), (0, 1), (1, 0)]:
        chosen = features[sample][:, masks[sample, region] > 0]
        assert torch.allclose(means[sample, region], chosen.mean(1))


@pytest.mark.parametrize(
    ("how", "first", "second"),
    [
        ("mean", [2.0, 1.0], [8.0, -2.0]),
        ("max", [3.0, 4.0], [8.0, -2.0]),
        ("min", [1.0, -2.0], [8.0, -2.0]),
        ("mid", [2.0, 1.0], [8.0, -2.0]),
    ],
)
def test_pooling_by_hand(how, first, second):
    """Three voxels under the first mask, one with greater values under the second, none under the third."""
    features = torch.tensor([[[1.0, 2.0, 3.0, 8.0], [-2.0, 4.0, 1.0, -2.0]]])
    masks = torch.tensor([[[1, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]]])
    vectors, valid = losses.region_pool(features, masks, how)
    assert vectors.tolist() == [[first, second, [0.0, 0.0]]]
    assert valid.tolist() == [[True, True, False]]


def test_the_middle_is_not_the_mean():
    features = torch.tensor([[[0.0, 0.0, 0.0, 8.0]]])
    everywhere = torch.ones(1, 1, 4)
    assert losses.region_pool(features, everywhere, "mid")[0].item() == 4
    assert losses.region_pool(features, everywhere)[0].item() == 2


def test_an_extreme_moves_the_voxel_that_it_came_from():
    features = torch.tensor([[[1.0, 5.0, 2.0, 9.0]]], requires_grad=True)
    vectors, _ = losses.region_pool(features, torch.tensor([[[1, 1, 1, 0]]]), "mid")
    vectors.sum().backward()
    assert features.grad.tolist() == [[[0.5, 0.5, 0.0, 0.0]]]


@pytest.mark.parametrize("how", POOLINGS)
def test_an_empty_mask_pools_to_zero_without_gradient(features, how):
    student = features.clone().requires_grad_()
    vectors, valid = losses.region_pool(student, torch.zeros(2, 3, 4, 4, 4), how)
    assert not valid.any()
    assert torch.equal(vectors, torch.zeros(2, 3, 5, dtype=torch.float64))
    vectors.sum().backward()
    assert torch.equal(student.grad, torch.zeros_like(student))


def test_an_unknown_pooling_is_named(features, masks):
    with pytest.raises(UsageError, match="median"):
        losses.class_relation(features, features, masks, "median")


def test_attention_by_hand():
    """Mean vectors at a right angle in one sample, at 60 degrees in the other: the mean of 1 and 1/2."""
    student = torch.tensor([[[3.0], [0.0]], [[2.0], [0.0]]], dtype=torch.float64)
    teacher = torch.tensor([[[0.0], [5.0]], [[1.0], [math.sqrt(3)]]], dtype=torch.float64)
    assert losses.cascade_region_attention([student], [teacher], [torch.ones(2, 1, 1)]).item() == pytest.approx(0.75)


def test_attention_sums_its_levels(features, masks):
    other = features.roll(1, 2)
    one = losses.cascade_region_attention([features], [other], [masks[:, :1]])
    assert torch.allclose(losses.cascade_region_attention([features] * 3, [other] * 3, [masks[:, :1]] * 3), 3 * one)


def test_attention_averages_over_the_samples_that_have_the_region(features, masks):
    other = features.roll(1, 2)
    both = losses.cascade_region_attention([features], [other], [masks[:, 1:]])
    alone = losses.cascade_region_attention([features[:1]], [other[:1]], [masks[:1, 1:]])
    assert torch.allclose(both, alone)


def test_attention_does_not_change_with_a_positive_scale_of_the_student(features, masks):
    other = features.roll(1, 2)
    scaled = losses.cascade_region_attention([37.0 * features], [other], [masks[:, :1]])
    assert torch.allclose(scaled, losses.cascade_region_attention([features], [other], [masks[:, :1]]))


def test_losses_ignore_voxels_outside_the_masks(features, masks):
    disturbed = torch.where(masks.any(1, keepdim=True), features, torch.full_like(features, 1e3))
    other = features.roll(1, 2)
    for loss in (
        lambda student: losses.cascade_region_attention([student], [other], [masks[:, :1]]),
        *(partial(losses.class_relation, teacher=other, masks=masks, aggregation=how) for how in POOLINGS),
    ):
        assert torch.allclose(loss(disturbed), loss(features))


@pytest.mark.parametrize("zero", [False, True])
def test_nothing_valid_is_an_exact_zero_with_a_graph(features, zero):
    """Also for features that are zero, where the gradient of a cosine's norm is not defined."""
    student = (0 * features if zero else features).float().requires_grad_()
    other = features.roll(1, 2)
    empty = torch.zeros(2, 3, 4, 4, 4)
    attention = losses.cascade_region_attention([student] * 2, [other] * 2, [empty[:, :1]] * 2)
    relation = losses.class_relation(student, other, empty)
    assert attention.item() == 0
    assert relation.tolist() == [0, 0]
    (attention + relation.sum()).backward()
    assert torch.equal(student.grad, torch.zeros_like(student))


def test_an_empty_region_leaves_the_gradient_of_the_others_finite(features, masks):
    student = features.clone().requires_grad_()
    levels = [masks[:, :1], masks[:, 1:]]
    losses.cascade_region_attention([student] * 2, [features.roll(1, 2)] * 2, levels).backward()
    assert student.grad.isfinite().all()
    assert student.grad[0].any()


def test_levels_must_agree_in_number(features, masks):
    with pytest.raises(ValueError, match="zip"):
        losses.cascade_region_attention([features] * 2, [features] * 2, [masks[:, :1]])


def test_nearest_takes_the_first_voxel_and_maxpool_any():
    masks = torch.zeros(1, 2, 4, 4, 4, dtype=torch.bool)
    masks[:, 0, 0, 0, 0] = True
    masks[:, 1, 3, 3, 3] = True
    nearest = losses.resize_masks(masks, (2, 2, 2))
    assert nearest.sum((2, 3, 4)).tolist() == [[1, 0]]
    assert nearest[0, 0, 0, 0, 0] == 1
    kept = losses.resize_masks(masks, (2, 2, 2), "maxpool")
    assert kept.sum((2, 3, 4)).tolist() == [[1, 1]]
    assert kept[0, 1, 1, 1, 1] == 1


def test_a_mask_of_the_right_size_stays_as_it_is(masks):
    for mode in ("nearest", "maxpool"):
        assert torch.equal(losses.resize_masks(masks, (4, 4, 4), mode), masks)


def test_an_unknown_mode_is_named(masks):
    with pytest.raises(UsageError, match="linear"):
        losses.resize_masks(masks, (2, 2, 2), "linear")


def test_patches_hold_any_voxel():
    regions = torch.zeros(1, 1, 4, 8, 4)
    regions[0, 0, 3, 5, 0] = 1
    found = losses.patch_presence(regions, 4)
    assert found.tolist() == [[[[[0.0], [1.0]]]]]


def test_patches_must_tile_the_crop():
    with pytest.raises(UsageError, match=r"4x8x6.* 4"):
        losses.patch_presence(torch.zeros(1, 1, 4, 8, 6), 4)
