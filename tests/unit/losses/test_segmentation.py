"""Losses against the ground truth: closed forms, numbers made by hand, absent classes."""

import math

import pytest
import torch

from limbeck import losses
from limbeck.anatomy import Label
from limbeck.target import Target


def test_soft_dice_by_hand():
    """Three voxels, overlap 1.5: squared sizes 1.25 + 0.25 and 2, plain sizes 2 and 2."""
    probabilities = torch.tensor([[[1.0, 0.5, 0.5]]], dtype=torch.float64)
    targets = torch.tensor([[[1, 1, 0]]])
    assert losses.soft_dice(probabilities, targets, smooth=0.0).item() == pytest.approx(1 - 3 / 3.5)
    assert losses.soft_dice(probabilities, targets, squared=False, smooth=0.0).item() == pytest.approx(1 - 3 / 4)


def test_soft_dice_of_a_perfect_an_absent_and_a_missed_channel():
    targets = torch.zeros(1, 3, 4, 4)
    targets[:, [0, 2], :2] = 1
    probabilities = targets.clone()
    probabilities[:, 2] = 0
    perfect, absent, missed = losses.soft_dice(probabilities, targets).tolist()
    assert perfect == 0
    assert absent == 0
    assert missed == pytest.approx(1, abs=1e-5)


def test_soft_dice_sums_over_the_batch_and_not_sample_by_sample():
    probabilities = torch.tensor([[[1.0, 1.0]], [[1.0, 0.0]]])
    targets = torch.tensor([[[1.0, 1.0]], [[0.0, 0.0]]])
    assert losses.soft_dice(probabilities, targets).item() == pytest.approx(1 - 4 / 5, abs=1e-5)


def test_cross_entropy_dice_of_even_logits():
    """Probabilities of a quarter: entropy log 4; Dice of a tissue in half of the voxels 2(N/8) / (N/16 + N/2)."""
    labels = torch.zeros(1, 4, 4, 4, dtype=torch.long)
    labels[:, :2] = Label.OEDEMA
    loss = losses.cross_entropy_dice(torch.zeros(1, 4, 4, 4, 4, dtype=torch.float64), labels)
    assert loss.item() == pytest.approx(math.log(4) + (2 + 1 - (1 / 4) / (1 / 16 + 1 / 2)) / 3, abs=1e-5)


def test_cross_entropy_dice_takes_a_cavity_for_background():
    torch.manual_seed(0)
    logits = torch.randn(2, 4, 4, 4, 4)
    labels = torch.randint(0, 4, (2, 4, 4, 4))
    cavity = torch.where(labels == Label.BACKGROUND, int(Label.RESECTION_CAVITY), labels)
    for loss in (losses.cross_entropy_dice, losses.dice_jaccard_cross_entropy):
        assert torch.equal(loss(logits, cavity), loss(logits, labels))


def test_cross_entropy_agrees_with_torch():
    torch.manual_seed(0)
    logits = torch.randn(2, 4, 4, 4, 4, dtype=torch.float64)
    labels = torch.randint(0, 4, (2, 4, 4, 4))
    truth = Target.SOFTMAX_LABELS.encode(labels)
    dice = losses.soft_dice(logits.softmax(1), truth)[1:].mean()
    expected = torch.nn.functional.cross_entropy(logits, labels) + dice
    assert losses.cross_entropy_dice(logits, labels).item() == pytest.approx(expected.item(), rel=1e-6)


def test_the_two_halves_sum_to_the_whole_bit_for_bit():
    torch.manual_seed(0)
    logits = torch.randn(2, 4, 4, 4, 4, requires_grad=True)
    labels = torch.randint(0, 5, (2, 4, 4, 4))
    halves = losses.cross_entropy(logits, labels), losses.soft_label_dice(logits, labels)
    assert torch.equal(losses.cross_entropy_dice(logits, labels), halves[0] + halves[1])
    known = labels.clamp(max=3)
    expected = torch.nn.functional.cross_entropy(logits, known)
    assert losses.cross_entropy(logits, known).item() == pytest.approx(expected.item(), rel=1e-6)
    truth = Target.SOFTMAX_LABELS.encode(labels)
    expected = losses.soft_dice(logits.softmax(1), truth)[1:].mean()
    assert losses.soft_label_dice(logits, labels).item() == pytest.approx(expected.item(), rel=1e-6)


def test_binary_cross_entropy_dice_sums_over_the_channels():
    """Three channels of probability one half, half of the voxels true: 3 log 2, and 3 (1 - 0.5 / 0.75)."""
    targets = torch.zeros(1, 3, 4, 4, 4)
    targets[:, :, :2] = 1
    loss = losses.binary_cross_entropy_dice(torch.zeros(1, 3, 4, 4, 4, dtype=torch.float64), targets)
    assert loss.item() == pytest.approx(3 * math.log(2) + 3 * (1 - 0.5 / 0.75), abs=1e-5)


def test_binary_cross_entropy_dice_takes_the_printed_denominator():
    """The same with plain sizes: the Dice of a channel is 0.5 / 1."""
    targets = torch.zeros(1, 3, 4, 4, 4)
    targets[:, :, :2] = 1
    loss = losses.binary_cross_entropy_dice(torch.zeros(1, 3, 4, 4, 4, dtype=torch.float64), targets, squared=False)
    assert loss.item() == pytest.approx(3 * math.log(2) + 3 * 0.5, abs=1e-5)


def test_region_dice_sums_squared_dice_over_the_channels():
    """Probability one half everywhere, half of the voxels true in two channels, none in the third."""
    targets = torch.zeros(1, 3, 4, 4, 4)
    targets[:, :2, :2] = 1
    loss = losses.region_dice(torch.zeros(1, 3, 4, 4, 4, dtype=torch.float64), targets)
    assert loss.item() == pytest.approx(2 * (1 - 0.5 / 0.75) + 1, abs=1e-6)


def test_region_dice_charges_a_trace_of_an_absent_region():
    nearly_nothing = torch.full((1, 1, 8, 8, 8), -6.0, dtype=torch.float64)
    absent = torch.zeros(1, 1, 8, 8, 8)
    assert losses.region_dice(nearly_nothing, absent) > 0.999
    assert losses.region_dice(nearly_nothing, absent, smooth=1.0) < 0.01


def test_deeper_levels_weigh_half_each_and_all_weigh_one():
    levels = [torch.full((1, 4, size, size, size), value) for size, value in ((8, 1.0), (4, 10.0), (2, 100.0))]
    loss = losses.deep_supervision(lambda logits, labels: logits.mean(), levels, torch.zeros(1, 8, 8, 8))
    assert loss.item() == pytest.approx((4 * 1 + 2 * 10 + 1 * 100) / 7)


def test_one_level_is_the_loss_itself():
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 4, 4, 4, 4), torch.randint(0, 4, (2, 4, 4, 4))
    alone = losses.deep_supervision(losses.cross_entropy, [logits], labels)
    assert torch.equal(alone, losses.cross_entropy(logits, labels))


def test_every_level_learns_from_labels_of_its_own_size():
    torch.manual_seed(0)
    labels = torch.randint(0, 4, (2, 8, 8, 8), dtype=torch.uint8)
    levels = [torch.randn(2, 4, size, size, size, requires_grad=True) for size in (8, 4, 2)]
    losses.deep_supervision(losses.cross_entropy, levels, labels).backward()
    for level, share in zip(levels, (4 / 7, 2 / 7, 1 / 7), strict=True):
        (alone,) = torch.autograd.grad(
            losses.cross_entropy(level, labels[(slice(None), *[slice(None, None, 8 // level.shape[2])] * 3)]), level
        )
        assert torch.allclose(level.grad, share * alone)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_resized_labels_are_the_first_of_their_cells(dtype):
    labels = torch.arange(64).reshape(1, 4, 4, 4).remainder(5).to(dtype)
    resized = losses.resize_labels(labels, (2, 2, 2))
    assert resized.dtype is dtype
    assert torch.equal(resized, labels[:, ::2, ::2, ::2])
    assert torch.equal(losses.resize_labels(labels, (4, 4, 4)), labels)


def test_labels_and_masks_shrink_alike():
    """Also to a size that does not divide."""
    torch.manual_seed(0)
    labels = torch.randint(0, 4, (2, 7, 9, 5))
    masks = Target.SOFTMAX_LABELS.encode(labels)
    resized = losses.resize_labels(labels, (3, 4, 2))
    assert torch.equal(Target.SOFTMAX_LABELS.encode(resized), losses.resize_masks(masks, (3, 4, 2)))


def test_a_sure_and_right_answer_costs_nothing():
    labels = torch.zeros(1, 4, 4, 4, dtype=torch.long)
    labels[:, 0], labels[:, 1], labels[:, 2] = 1, 2, 3
    exclusive = 200 * Target.SOFTMAX_LABELS.encode(labels) - 100
    nested = 200 * Target.SIGMOID_REGIONS.encode(labels) - 100
    assert losses.cross_entropy_dice(exclusive, labels).item() == pytest.approx(0, abs=1e-6)
    assert losses.dice_jaccard_cross_entropy(exclusive, labels).item() == pytest.approx(0, abs=1e-6)
    truth = Target.SIGMOID_REGIONS.encode(labels)
    assert losses.binary_cross_entropy_dice(nested, truth).item() == pytest.approx(0, abs=1e-6)


def test_dice_jaccard_charges_an_absent_class_in_full():
    """As published: a class that is not there scores 0, a quarter of Dice and a quarter of Jaccard."""
    labels = torch.zeros(1, 4, 4, 4, dtype=torch.long)
    labels[:, 0], labels[:, 1] = 1, 2
    logits = 200 * Target.SOFTMAX_LABELS.encode(labels) - 100
    assert losses.dice_jaccard_cross_entropy(logits, labels).item() == pytest.approx((1 / 4 + 1 / 4) / 3, abs=1e-6)


def test_dice_jaccard_can_let_an_absent_class_score_if_it_is_not_predicted():
    """Two of four classes in the labels: a sure and right answer then costs nothing, a sure and wrong one in full."""
    labels = torch.zeros(1, 4, 4, 4, dtype=torch.long)
    labels[:, 0] = 1
    right = 200 * Target.SOFTMAX_LABELS.encode(labels) - 100
    assert losses.dice_jaccard_cross_entropy(right, labels, absent_scores_zero=False).item() == pytest.approx(
        0, abs=1e-6
    )
    assert losses.dice_jaccard_cross_entropy(right, labels).item() == pytest.approx((1 / 2 + 1 / 2) / 3, abs=1e-6)
    wrong = 200 * Target.SOFTMAX_LABELS.encode(labels + 2) - 100
    loss = losses.dice_jaccard_cross_entropy(wrong, labels, absent_scores_zero=False)
    assert loss.item() == pytest.approx((1 + 1 + 200) / 3, rel=1e-5)


@pytest.mark.parametrize("loss", [losses.cross_entropy_dice, losses.dice_jaccard_cross_entropy])
def test_half_precision_logits_are_widened_first(loss):
    torch.manual_seed(0)
    logits = torch.randn(2, 4, 4, 4, 4).bfloat16()
    labels = torch.randint(0, 4, (2, 4, 4, 4))
    value = loss(logits, labels)
    assert value.dtype == torch.float32
    assert torch.equal(value, loss(logits.float(), labels))


def test_extreme_logits_keep_finite_gradients():
    logits = torch.full((1, 4, 2, 2, 2), 3e4)
    logits[:, 0] = -3e4
    logits.requires_grad_()
    losses.cross_entropy_dice(logits, torch.zeros(1, 2, 2, 2, dtype=torch.long)).backward()
    assert logits.grad.isfinite().all()
