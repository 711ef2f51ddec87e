"""Prediction over a whole volume: overlapping windows, blended by a Gaussian that trusts their centres most."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from limbeck.batch import View
from limbeck.errors import UsageError

Position: TypeAlias = tuple[int, int, int]


def sliding_window(
    predict: Callable[[View], Tensor],
    images: Tensor,
    available: Tensor,
    patch: Position,
    overlap: float = 0.5,
    *,
    batch: int = 1,
    background: Tensor | None = None,
) -> Tensor:
    """Scores of a whole volume, `[C,D,H,W]` float32, on the images' device.

    Windows, padding and weights are those of MONAI's `sliding_window_inference(mode="gaussian")`: a step of
    `patch * (1 - overlap)` voxels, the last window moved back into the volume, zeros around a volume smaller than the
    patch, a Gaussian with a standard deviation of an eighth of the patch and weights of at least 0.001.

    Args:
        predict: scores `[B,C,*patch]` of a view `[B,4,*patch]`; its `origin` is the window's first voxel in the
            volume, negative where the volume was padded.
        images: `[4,D,H,W]` in `Modality` order, zero outside the brain; absent channels leave no trace.
        available: `[4]` bool.
        patch: the window's size in voxels.
        overlap: the part of a window that its neighbour covers too, from 0 to below 1.
        batch: windows for each call of `predict`; beside others, a window's float32 scores may be rounded otherwise, so
            one at a time is what gives the same bits whatever the volume around it.
        background: `[C]` scores for a window whose available channels are all zero: such a window is not predicted.
            None predicts every window.

    Raises:
        UsageError: the patch, the overlap or the batch size is out of range.
        ValueError: `predict` gave scores of another shape.
    """
    _check(patch, overlap, batch)
    available = available.to(images.device)
    padded, before = _pad(images, patch)
    grid = window_starts(padded.shape[1:], patch, overlap)
    occupied = grid if background is None else _occupied(padded[available], grid, patch)

    weights = gaussian_weights(patch).to(images.device)
    total = torch.zeros(padded.shape[1:], device=images.device)
    blended: Tensor | None = None
    for start, scores in _predicted(predict, padded, available, patch, occupied, before=before, batch=batch):
        if blended is None:
            blended = torch.zeros((len(scores), *padded.shape[1:]), device=images.device)
        blended[_cut(start, patch)] += scores.to(images.device, torch.float32) * weights
        total[_cut(start, patch)[1:]] += weights

    depth, height, width = images.shape[1:]
    if background is not None:
        constant = background.to(images.device, torch.float32)[:, None, None, None]
        if blended is None:
            return constant.expand(-1, depth, height, width).clone()
        for start in sorted(set(grid).difference(occupied)):
            blended[_cut(start, patch)] += constant * weights
            total[_cut(start, patch)[1:]] += weights
    assert blended is not None, "every volume has a window"
    return (blended / total)[_cut(before, (depth, height, width))]


def window_starts(size: Sequence[int], patch: Position, overlap: float) -> list[Position]:
    """First voxels of the windows that cover a volume no smaller than the patch, in raster order."""
    depth, height, width = (_starts(length, edge, overlap) for length, edge in zip(size, patch, strict=True))
    return list(product(depth, height, width))


def _starts(length: int, edge: int, overlap: float) -> list[int]:
    step = max(int(edge * (1 - overlap)), 1)
    count = math.ceil((length - edge) / step) + 1
    return [min(number * step, length - edge) for number in range(count)]


def gaussian_weights(patch: Position) -> Tensor:
    """Weight of each voxel of a window, `[*patch]` float32: 1 in the centre, never below 0.001."""
    weights = torch.ones(())
    for edge in patch:
        offset = torch.arange(edge, dtype=torch.float32) - (edge - 1) / 2
        weights = weights[..., None] * torch.exp(-(offset**2) / (2 * (edge / 8) ** 2))
    # At the corners a product of three tails would leave a voxel seen by one window with next to no weight.
    return weights.clamp(min=max(float(weights.min()), 1e-3))


def _predicted(
    predict: Callable[[View], Tensor],
    padded: Tensor,
    available: Tensor,
    patch: Position,
    windows: Sequence[Position],
    *,
    before: Position,
    batch: int,
) -> Iterator[tuple[Position, Tensor]]:
    """Each window's start and its scores `[C,*patch]`, in the order given."""
    for first in range(0, len(windows), batch):
        starts = windows[first : first + batch]
        crops = torch.stack([padded[_cut(start, patch)] for start in starts])
        origin = torch.tensor(starts, device=padded.device) - torch.tensor(before, device=padded.device)
        scores = predict(View.of(crops, available.expand(len(starts), -1), origin))
        if scores.ndim != 5 or scores.shape[0] != len(starts) or tuple(scores.shape[2:]) != tuple(patch):
            expected = f"[{len(starts)}, C, {', '.join(map(str, patch))}]"
            raise ValueError(f"predict gave scores of shape {list(scores.shape)}; expected {expected}")
        yield from zip(starts, scores, strict=True)


def _pad(images: Tensor, patch: Position) -> tuple[Tensor, Position]:
    """The images with zeros around them, at least as large as the patch, and how many were put before each axis."""
    before = [max(edge - length, 0) // 2 for edge, length in zip(patch, images.shape[1:], strict=True)]
    after = [max(edge - length, 0) - first for edge, length, first in zip(patch, images.shape[1:], before, strict=True)]
    # `pad` counts axes from the last.
    amounts = [amount for pair in zip(reversed(before), reversed(after), strict=True) for amount in pair]
    padded = F.pad(images, amounts) if any(amounts) else images
    return padded, (before[0], before[1], before[2])


def _occupied(seen: Tensor, grid: Sequence[Position], patch: Position) -> list[Position]:
    """The windows in which a channel of `seen`, `[k,D,H,W]`, holds anything but zeros."""
    tissue = (seen != 0).any(dim=0)
    return [start for start in grid if bool(tissue[_cut(start, patch)[1:]].any())]


def _cut(start: Position, size: Position) -> tuple[slice, slice, slice, slice]:
    d, h, w = (slice(first, first + length) for first, length in zip(start, size, strict=True))
    return slice(None), d, h, w


def _check(patch: Position, overlap: float, batch: int) -> None:
    if len(patch) != 3 or min(patch) < 1:
        raise UsageError(f"the patch is {tuple(patch)}; expected three sizes of at least 1 voxel")
    if not 0 <= overlap < 1:
        raise UsageError(f"the overlap is {overlap}; expected at least 0 and below 1")
    if batch < 1:
        raise UsageError(f"the batch size is {batch}; expected at least 1")
