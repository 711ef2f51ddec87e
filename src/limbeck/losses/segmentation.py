"""Losses against the ground truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from limbeck.losses.precision import full_precision
from limbeck.ranks import summed
from limbeck.target import Target

EPSILON = 1e-7  # ACN, MTCM-KD: keeps the division defined, and is too small to lend an absent class a score


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
    overlap, size = summed(overlap, size)
    return 1 - (2 * overlap + smooth) / (size + smooth)


@full_precision
def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy for exclusive labels, the unweighted mean over voxels and batch: scalar.

    Args:
        logits: `[B,4,*]`, channels as in `Target.SOFTMAX_LABELS`.
        labels: `[B,*]`, codes of `anatomy.Label`; a resection cavity counts as background.
    """
    return _cross_entropy(logits.log_softmax(1), Target.SOFTMAX_LABELS.encode(labels))


@full_precision
def soft_label_dice(logits: Tensor, labels: Tensor, squared: bool = True) -> Tensor:
    """The mean of `soft_dice` over the three tissues, for exclusive labels: scalar in `[0, 1]`.

    Args:
        logits: `[B,4,*]`, channels as in `Target.SOFTMAX_LABELS`.
        labels: `[B,*]`, codes of `anatomy.Label`; a resection cavity counts as background.
        squared: as in `soft_dice`; nnU-Net's denominators are plain.
    """
    return _tissue_dice(logits.log_softmax(1), Target.SOFTMAX_LABELS.encode(labels), squared)


@full_precision
def cross_entropy_dice(logits: Tensor, labels: Tensor) -> Tensor:
    """`cross_entropy` plus `soft_label_dice`: scalar (GKD 1.3, where weights and variant are not stated).

    Args:
        logits: `[B,4,*]`, channels as in `Target.SOFTMAX_LABELS`.
        labels: `[B,*]`, codes of `anatomy.Label`; a resection cavity counts as background.
    """
    truth = Target.SOFTMAX_LABELS.encode(labels)
    log_probabilities = logits.log_softmax(1)
    return _cross_entropy(log_probabilities, truth) + _tissue_dice(log_probabilities, truth)


@full_precision
def binary_cross_entropy_dice(logits: Tensor, targets: Tensor, squared: bool = True) -> Tensor:
    """Binary cross-entropy plus Dice for channels that each decide alone: scalar (PKDR Eq. 2-4 and 8).

    Both are summed over the channels, as the paper prints them; cross-entropy is the mean over voxels and batch. The
    paper's Dice binarises the prediction, which has no gradient: probabilities stand in for it here.

    Args:
        logits: `[B,C,*]`.
        targets: `[B,C,*]`, 0 or 1.
        squared: as in `soft_dice`; the paper prints the plain denominator, ProtoKD's code has the squared one.
    """
    targets = targets.to(logits.dtype)
    entropy = F.binary_cross_entropy_with_logits(logits, targets) * logits.shape[1]
    return entropy + soft_dice(logits.sigmoid(), targets, squared).sum()


@full_precision
def region_dice(logits: Tensor, targets: Tensor, smooth: float = EPSILON) -> Tensor:
    """The soft Dice loss summed over channels that each decide alone: scalar in `[0, C]` (RIRN Eq. 1).

    Args:
        logits: `[B,C,*]`; RIRN's channels are WT, TC and ET.
        targets: `[B,C,*]`, 0 or 1.
        smooth: as in `soft_dice`, above the fraction too, where ACN has none; so small that any trace of an absent
            channel costs nearly 1.
    """
    return soft_dice(logits.sigmoid(), targets, smooth=smooth).sum()


@full_precision
def dice_jaccard_cross_entropy(logits: Tensor, labels: Tensor, absent_scores_zero: bool = True) -> Tensor:
    """A third each of Dice, Jaccard and cross-entropy over all four classes: scalar (MTCM-KD's base loss).

    Sums run over the batch and squares are not taken.

    Args:
        logits: `[B,4,*]`, channels as in `Target.SOFTMAX_LABELS`.
        labels: `[B,*]`, codes of `anatomy.Label`; a resection cavity counts as background.
        absent_scores_zero: a class that is absent from the labels scores 0 whatever is predicted, as published, and
            so adds a constant; else it scores 1 if it is not predicted either.
    """
    above, below = (0.0, EPSILON) if absent_scores_zero else (1e-5, 1e-5)
    truth = Target.SOFTMAX_LABELS.encode(labels).to(logits.dtype)
    log_probabilities = logits.log_softmax(1)
    probabilities = log_probabilities.exp()
    over = [0, *range(2, logits.ndim)]
    overlap = (probabilities * truth).sum(over)
    overlap, size = summed(overlap, probabilities.sum(over) + truth.sum(over))
    dice = (2 * overlap + above) / (size + below)
    jaccard = (overlap + above) / (size - overlap + below)
    return ((1 - dice.mean()) + (1 - jaccard.mean()) + _cross_entropy(log_probabilities, truth)) / 3


@full_precision
def deep_supervision(loss: Callable[[Tensor, Tensor], Tensor], logits: Sequence[Tensor], labels: Tensor) -> Tensor:
    """One loss at several sizes, each level with half the weight of the finer one, weights of sum 1: scalar (CHOI 5.2).

    Which levels take part is the caller's choice; nnU-Net leaves out the coarsest.

    Args:
        loss: of logits `[B,C,*]` and labels `[B,*]`, a scalar.
        logits: for each level `[B,C,*]`, from fine to coarse.
        labels: `[B,*]` at full size; each level sees `resize_labels` of it.
    """
    weights = [0.5**level for level in range(len(logits))]
    terms = [
        weight * loss(level, resize_labels(labels, level.shape[2:]))
        for weight, level in zip(weights, logits, strict=True)
    ]
    return torch.stack(terms).sum() / sum(weights)


def resize_labels(labels: Tensor, shape: Sequence[int]) -> Tensor:
    """Labels `[B,D,H,W]` at another size, `[B,*shape]` of the same type, by nearest neighbour.

    As torch's `nearest` and `resize_masks`, it takes the first voxel of each cell, so no code appears that was not
    there, and a small region can be lost.
    """
    # Codes are small integers, which float32 holds exactly; torch resizes no int64.
    return F.interpolate(labels[:, None].float(), size=tuple(shape), mode="nearest")[:, 0].to(labels.dtype)


def _tissue_dice(log_probabilities: Tensor, truth: Tensor, squared: bool = True) -> Tensor:
    """The mean of `soft_dice` over all classes but the first, the background."""
    return soft_dice(log_probabilities.exp()[:, 1:], truth[:, 1:], squared).mean()


def _cross_entropy(log_probabilities: Tensor, truth: Tensor) -> Tensor:
    """The mean over voxels of the true class's negative log-probability."""
    return -torch.mean(torch.sum(log_probabilities * truth, dim=1))
