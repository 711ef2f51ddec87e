"""Losses between relations: of tumour regions with one another, and of every position with every other."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from limbeck.errors import UsageError, require
from limbeck.losses.precision import full_precision
from limbeck.losses.regions import Pooling, filled, region_pool

Normaliser: TypeAlias = Literal["paper", "entries", "rows"]


@full_precision
def class_relation(student: Tensor, teacher: Tensor, masks: Tensor, aggregation: Pooling = "mean") -> Tensor:
    """How much the cosines between region vectors differ, by sample: `[B]` in `[0, 2 R (R - 1)]` (RIRN Eq. 2-5).

    `sum_{i != j} |cos(f_i, f_j)_t - cos(f_i, f_j)_s|` over ordered pairs, with `f_i` the feature under mask `i`,
    pooled. Pairs with an empty mask are left out.

    Args:
        student: features `[B,C,*]`.
        teacher: features `[B,C',*]`, taken as constant.
        masks: `[B,R,*]` of the features' size, 0 or 1; the same for both.
        aggregation: how `region_pool` makes one vector of a region; RIRN's is the mean, Table 7 has the others.

    Raises:
        UsageError: the aggregation is not known.
    """
    relation_student, valid = _region_cosines(student, masks, aggregation)
    relation_teacher, _ = _region_cosines(teacher.detach(), masks, aggregation)
    pairs = valid[:, :, None] & valid[:, None, :] & ~torch.eye(valid.shape[1], dtype=torch.bool, device=valid.device)
    return ((relation_teacher - relation_student).abs() * pairs).sum((1, 2))


def _region_cosines(features: Tensor, masks: Tensor, aggregation: Pooling) -> tuple[Tensor, Tensor]:
    """The cosines `[B,R,R]` between region vectors, and which regions are valid, `[B,R]`."""
    vectors, valid = region_pool(features, masks, aggregation)
    directions = F.normalize(filled(vectors, valid), dim=2)
    return directions @ directions.transpose(1, 2), valid


@full_precision
def relation_matrix(queries: Tensor, keys: Tensor) -> Tensor:
    """How every position attends to every other: `[B,N,N]`, rows sum to 1 (RIRN Eq. 6).

    `softmax_j(q_i . k_j)` without a scale, as non-local blocks do. Eq. 6 prints an exponential inside the softmax,
    which overflows; it is the softmax's own.

    Args:
        queries: `[B,C,*]` with `N` positions.
        keys: `[B,C,*]`, the same shape. Fewer queries give as many rows.
    """
    return (queries.flatten(2).transpose(1, 2) @ keys.flatten(2)).softmax(2)


def _divisor(channels: int, positions: int, normaliser: Normaliser) -> int:
    """What a squared distance of relation matrices is divided by."""
    divisors = {"paper": channels * positions, "entries": positions**2, "rows": positions}
    if normaliser not in divisors:
        raise UsageError(f"normaliser {normaliser!r}: expected 'paper', 'entries' or 'rows'")
    return divisors[normaliser]


@full_precision
def attention_distance(
    student_queries: Tensor,
    student_keys: Tensor,
    teacher_queries: Tensor,
    teacher_keys: Tensor,
    channels: int,
    normaliser: Normaliser = "paper",
    rows: int = 512,
) -> Tensor:
    """The squared distance of both sides' `relation_matrix`, averaged over the batch: scalar (RIRN Eq. 6-7).

    The matrices are never held: blocks of their rows are compared one after another, and computed again on the way
    back. Memory grows with `rows` times `N`, not with `N^2`; RIRN's `N` of 7,680 makes 225 MiB of each matrix.

    Args:
        student_queries: `[B,C,*]` with `N` positions.
        student_keys: `[B,C,*]`, the same shape.
        teacher_queries: `[B,C',*]` with `N` positions, taken as constant.
        teacher_keys: `[B,C',*]`, the same shape, taken as constant.
        channels: `C` of the features behind the matrices.
        normaliser: divides by `C N` (`paper`: at most `2 / C`), by `N^2` (`entries`), or by `N` (`rows`: at most 2).
        rows: queries in a block; it moves memory and speed, not the value.

    Raises:
        UsageError: the normaliser is not known, or a block has no rows.
    """
    require(rows > 0, "rows", rows, "a number above 0")
    ours, theirs = student_queries.flatten(2), teacher_queries.detach().flatten(2)
    divisor = _divisor(channels, ours.shape[2], normaliser)
    squares = [
        checkpoint(
            _block_distance,
            *(student, student_keys, teacher, teacher_keys.detach()),
            use_reentrant=False,
            preserve_rng_state=False,  # nothing is drawn in a block
        )
        for student, teacher in zip(torch.split(ours, rows, dim=2), torch.split(theirs, rows, dim=2), strict=True)
    ]
    return torch.stack(squares).sum() / (ours.shape[0] * divisor)


def _block_distance(queries: Tensor, keys: Tensor, teacher_queries: Tensor, teacher_keys: Tensor) -> Tensor:
    """The squared distance of some rows of two relation matrices, summed over the batch: scalar."""
    return (relation_matrix(queries, keys) - relation_matrix(teacher_queries, teacher_keys)).square().sum()
