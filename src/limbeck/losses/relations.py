"""Losses between relations: of tumour regions with one another, and of every position with every other."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from limbeck.errors import UsageError
from limbeck.losses.precision import full_precision
from limbeck.losses.regions import filled, region_means

Normaliser: TypeAlias = Literal["paper", "entries", "rows"]


@full_precision
def class_relation(student: Tensor, teacher: Tensor, masks: Tensor) -> Tensor:
    """How much the cosines between region vectors differ, by sample: `[B]` in `[0, 2 R (R - 1)]` (RIRN Eq. 2-5).

    `sum_{i != j} |cos(f_i, f_j)_t - cos(f_i, f_j)_s|` over ordered pairs, with `f_i` the mean feature under mask
    `i`. Pairs with an empty mask are left out.

    Args:
        student: features `[B,C,*]`.
        teacher: features `[B,C',*]`, taken as constant.
        masks: `[B,R,*]` of the features' size, 0 or 1; the same for both.
    """
    relation_student, valid = _region_cosines(student, masks)
    relation_teacher, _ = _region_cosines(teacher.detach(), masks)
    pairs = valid[:, :, None] & valid[:, None, :] & ~torch.eye(valid.shape[1], dtype=torch.bool, device=valid.device)
    return ((relation_teacher - relation_student).abs() * pairs).sum((1, 2))


def _region_cosines(features: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """The cosines `[B,R,R]` between region means, and which regions are valid, `[B,R]`."""
    means, valid = region_means(features, masks)
    directions = F.normalize(filled(means, valid), dim=2)
    return directions @ directions.transpose(1, 2), valid


@full_precision
def relation_matrix(queries: Tensor, keys: Tensor) -> Tensor:
    """How every position attends to every other: `[B,N,N]`, rows sum to 1 (RIRN Eq. 6).

    `softmax_j(q_i . k_j)` without a scale, as non-local blocks do. Eq. 6 prints an exponential inside the softmax,
    which overflows; it is the softmax's own.

    Args:
        queries: `[B,C,*]` with `N` positions.
        keys: `[B,C,*]`, the same shape.
    """
    return (queries.flatten(2).transpose(1, 2) @ keys.flatten(2)).softmax(2)


@full_precision
def relation_distance(student: Tensor, teacher: Tensor, channels: int, normaliser: Normaliser = "paper") -> Tensor:
    """The squared distance of two relation matrices, averaged over the batch: scalar (RIRN Eq. 7).

    Args:
        student: `[B,N,N]`.
        teacher: `[B,N,N]`, taken as constant.
        channels: `C` of the features behind the matrices.
        normaliser: divides by `C N` (`paper`: at most `2 / C`), by `N^2` (`entries`), or by `N` (`rows`: at most 2).

    Raises:
        UsageError: the normaliser is not known.
    """
    positions = student.shape[1]
    divisors = {"paper": channels * positions, "entries": positions**2, "rows": positions}
    if normaliser not in divisors:
        raise UsageError(f"normaliser {normaliser!r}: expected 'paper', 'entries' or 'rows'")
    return (student - teacher.detach()).square().sum((1, 2)).mean() / divisors[normaliser]
