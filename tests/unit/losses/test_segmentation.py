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


def test_binary_cross_entropy_dice_sums_over_the_channels():
    """Three channels of probability one half, half of the voxels true: 3 log 2, and 3 (1 - 0.5 / 0.75)."""
    targets = torch.zeros(1, 3, 4, 4, 4)
    targets[:, :, :2] = 1
    loss = losses.binary_cross_entropy_dice(torch.zeros(1, 3, 4, 4, 4, dtype=torch.float64), targets)
    assert loss.item() == pytest.approx(3 * math.log(2) + 3 * (1 - 0.5 / 0.75), abs=1e-5)


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
