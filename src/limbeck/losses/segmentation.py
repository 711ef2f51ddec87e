"""Losses against the ground truth."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from limbeck.losses.precision import full_precision
from limbeck.target import Target

EPSILON = 1e-7  # MTCM-KD: keeps the division defined, and is too small to lend an absent class a score


@full_precision
def soft_dice(probabilities: Tensor, targets: Tensor, squared: bool = True, smooth: float = 1e-5) -> Tensor:
    """The soft Dice loss of each channel, over all voxels of the batch: `[C]` in `[0, 1]`.

    `1 - (2 sum(p t) + smooth) / (sum(p^2) + sum(t^2) + smooth)`; a channel that is absent from both gives 0.

    Args:
        probabilities: `[B,C,*]` in `[0, 1]`.
        targets: `[B,C,*]`, 0 or 1.
        squared: whether the denominator sums squares (V-Net, ACN, ProtoKD) or the values (PKDR Eq. 3 as printed).
        smooth: added above and below the fraction.
    """
    targets = targets.to(probabilities.dtype)
    over = [0, *range(2, probabilities.ndim)]
    overlap = (probabilities * targets).sum(over)
    if squared:
        size = probabilities.square().sum(over) + targets.square().sum(over)
    else:
        size = probabilities.sum(over) + targets.sum(over)
    return 1 - (2 * overlap + smooth) / (size + smooth)


@full_precision
def cross_entropy_dice(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy plus Dice for exclusive labels: scalar (GKD 1.3, where weights and variant are not stated).

    Cross-entropy is the unweighted mean over voxels, Dice the mean of `soft_dice` over the three tissues.

    Args:
        logits: `[B,4,*]`, channels as in `Target.SOFTMAX_LABELS`.
        labels: `[B,*]`, codes of `anatomy.Label`; a resection cavity counts as background.
    """
    truth = Target.SOFTMAX_LABELS.encode(labels)
    log_probabilities = logits.log_softmax(1)
    dice = soft_dice(log_probabilities.exp()[:, 1:], truth[:, 1:])
    return _cross_entropy(log_probabilities, truth) + dice.mean()


@full_precision
def binary_cross_entropy_dice(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy plus Dice for channels that each decide alone: scalar (PKDR Eq. 2-4 and 8).

    Both are summed over the channels, as the paper prints them; cross-entropy is the mean over voxels and batch. The
    paper's Dice binarises the prediction, which has no gradient: probabilities stand in for it here.

    Args:
        logits: `[B,C,*]`.
        targets: `[B,C,*]`, 0 or 1.
    """
    targets = targets.to(logits.dtype)
    entropy = F.binary_cross_entropy_with_logits(logits, targets) * logits.shape[1]
    return entropy + soft_dice(logits.sigmoid(), targets).sum()


@full_precision
def dice_jaccard_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """A third each of Dice, Jaccard and cross-entropy over all four classes: scalar (MTCM-KD's base loss).

    Sums run over the batch and squares are not taken. A class that is absent from the labels scores 0, as published,
    and so adds a constant.

    Args:
        logits: `[B,4,*]`, channels as in `Target.SOFTMAX_LABELS`.
        labels: `[B,*]`, codes of `anatomy.Label`; a resection cavity counts as background.
    """
    truth = Target.SOFTMAX_LABELS.encode(labels).to(logits.dtype)
    log_probabilities = logits.log_softmax(1)
    probabilities = log_probabilities.exp()
    over = [0, *range(2, logits.ndim)]
    overlap = (probabilities * truth).sum(over)
    size = probabilities.sum(over) + truth.sum(over)
    dice = 2 * overlap / (size + EPSILON)
    jaccard = overlap / (size - overlap + EPSILON)
    return ((1 - dice.mean()) + (1 - jaccard.mean()) + _cross_entropy(log_probabilities, truth)) / 3


def _cross_entropy(log_probabilities: Tensor, truth: Tensor) -> Tensor:
    """The mean over voxels of the true class's negative log-probability."""
    return -torch.mean(torch.sum(log_probabilities * truth, dim=1))
