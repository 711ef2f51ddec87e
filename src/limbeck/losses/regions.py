"""Tumour regions as masks on feature maps, and the distillation of what lies under them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from limbeck.errors import UsageError
from limbeck.losses.precision import full_precision
from limbeck.ranks import summed

MaskMode: TypeAlias = Literal["nearest", "maxpool"]
Pooling: TypeAlias = Literal["mean", "max", "min", "mid"]


def resize_masks(masks: Tensor, shape: Sequence[int], mode: MaskMode = "nearest") -> Tensor:
    """Masks `[B,R,D,H,W]` at a feature's size, `[B,R,*shape]` float, 0 or 1.

    `nearest` takes the first voxel of each cell, as GKD's nearest kin does, and can lose a small region; `maxpool`
    keeps a cell in which any voxel is set.

    Raises:
        UsageError: the mode is neither.
    """
    masks = masks if masks.is_floating_point() else masks.float()
    if mode == "nearest":
        return F.interpolate(masks, size=tuple(shape), mode="nearest")
    if mode == "maxpool":
        return F.adaptive_max_pool3d(masks, tuple(shape))
    raise UsageError(f"mask mode {mode!r}: expected 'nearest' or 'maxpool'")


def patch_presence(regions: Tensor, patch: int) -> Tensor:
    """Which patches hold any voxel of a region: `[B,R,D/P,H/P,W/P]` float, 0 or 1 (PKDR Eq. 1).

    Args:
        regions: `[B,R,D,H,W]`, 0 or 1.
        patch: side `P` of a patch in voxels.

    Raises:
        UsageError: the patches do not tile the crop.
    """
    size = regions.shape[2:]
    if any(side % patch for side in size):
        raise UsageError(f"crop size {'x'.join(map(str, size))} is no multiple of the patch size {patch}")
    return F.max_pool3d(regions if regions.is_floating_point() else regions.float(), patch)


@full_precision
def region_means(features: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """The mean feature under each mask, `[B,R,C]`, and whether the mask holds any voxel, `[B,R]` bool.

    Where a mask is empty the mean is 0 without a gradient (GKD Eq. 3, RIRN Eq. 3).

    Args:
        features: `[B,C,*]`.
        masks: `[B,R,*]` of the features' size, 0 or 1, taken as constant.
    """
    weights = masks.detach().to(features.dtype).flatten(2)
    voxels = weights.sum(2)
    # Features first: the gradient then has their memory layout. The other way round, adding it cost a tenth of a step.
    sums = (features.flatten(2) @ weights.transpose(1, 2)).transpose(1, 2)
    return sums / voxels.clamp(min=1)[..., None], voxels > 0


@full_precision
def region_pool(features: Tensor, masks: Tensor, how: Pooling = "mean") -> tuple[Tensor, Tensor]:
    """One vector for each mask, `[B,R,C]`, and whether the mask holds any voxel, `[B,R]` bool (RIRN Eq. 3, Table 7).

    Where a mask is empty the vector is 0 without a gradient.

    Args:
        features: `[B,C,*]`.
        masks: `[B,R,*]` of the features' size, 0 or 1, taken as constant.
        how: channel by channel the `mean` under the mask, its `max` or `min`, or `mid`, half of both's sum.

    Raises:
        UsageError: `how` is none of the four.
    """
    if how == "mean":
        return region_means(features, masks)
    if how not in ("max", "min", "mid"):
        raise UsageError(f"pooling {how!r}: expected 'mean', 'max', 'min' or 'mid'")
    values, within = features.flatten(2), masks.flatten(2) > 0
    vectors = torch.stack([_extreme(values, mask, how) for mask in torch.split(within, 1, dim=1)], dim=1)
    valid = within.any(2)
    return torch.where(valid[..., None], vectors, torch.zeros_like(vectors)), valid


def _extreme(values: Tensor, mask: Tensor, how: Literal["max", "min", "mid"]) -> Tensor:
    """The pooled value `[B,C]` of `[B,C,N]` under one mask `[B,1,N]`; not finite where the mask is empty."""
    if how == "mid":
        return (_extreme(values, mask, "max") + _extreme(values, mask, "min")) / 2
    # Of each channel only the chosen voxel's number is kept for the gradient; amax would keep a copy of the features.
    if how == "max":
        return values.masked_fill(~mask, -math.inf).max(2).values
    return values.masked_fill(~mask, math.inf).min(2).values


@full_precision
def cascade_region_attention(
    student_features: Sequence[Tensor], teacher_features: Sequence[Tensor], masks: Sequence[Tensor]
) -> Tensor:
    """How far the student's region vectors point away from the teacher's: scalar in `[0, 2 x levels]`.

    At each level `1 - cos(R_s, R_t)` of the mean features under that level's mask, averaged over the samples whose
    mask holds a voxel; the levels are summed (GKD Eq. 3-6, with WT, TC and ET from fine to coarse). A level without
    any valid sample adds an exact 0 that still has a graph.

    Args:
        student_features: for each level `[B,C,*]`.
        teacher_features: the same shapes, taken as constant.
        masks: for each level `[B,1,*]` at the features' size, 0 or 1.
    """
    levels = [
        _region_distance(student, teacher.detach(), mask)
        for student, teacher, mask in zip(student_features, teacher_features, masks, strict=True)
    ]
    return torch.stack(levels).sum()


def _region_distance(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """The mean over valid samples of `1 - cos` at one level: scalar."""
    of_student, valid = region_means(student, mask)
    of_teacher, _ = region_means(teacher, mask)
    # The cosine of a zero vector has a gradient of 1e8; a vector of ones in its place has one that is finite, and the
    # product with 0 then drops it.
    cosine = F.cosine_similarity(filled(of_student, valid), filled(of_teacher, valid), dim=2)
    distance, samples = summed(((1 - cosine) * valid).sum(), valid.sum().to(cosine.dtype))
    return distance / samples.clamp(min=1)


def filled(means: Tensor, valid: Tensor) -> Tensor:
    """Region means `[B,R,C]` with ones in place of those that are not valid, so that they have a direction."""
    return torch.where(valid[..., None], means, torch.ones_like(means))
