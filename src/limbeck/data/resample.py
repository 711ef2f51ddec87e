"""Interpolation between voxel grids that cover the same block of space."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate, pad


def resize(images: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Trilinear, `[C,*]` to `[C,shape]`; one channel at a time, to bound memory.

    Two voxels into one is an exact mean by itself. Beyond that voxels would be skipped, so they are smoothed first:
    with variance `(f^2 - 4) / 12`, together with the interpolation that of a box of f voxels.
    """
    resized = images.new_empty((len(images), *shape), dtype=torch.float32)
    for channel, image in enumerate(images):
        volume = image.float()[None, None]
        for axis, (old, new) in enumerate(zip(image.shape, shape, strict=True)):
            if old / new > 2:
                volume = _smooth(volume, 2 + axis, (((old / new) ** 2 - 4) / 12) ** 0.5)
        resized[channel] = interpolate(volume, size=shape, mode="trilinear", align_corners=False)[0, 0]
    return resized


def resize_array(image: NDArray[np.float32], shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """`resize` for one NumPy volume."""
    resized: NDArray[np.float32] = resize(torch.from_numpy(image)[None], shape)[0].numpy()
    return resized


def _smooth(volume: Tensor, axis: int, sigma: float) -> Tensor:
    """Gaussian along one axis of `[1,1,*]`, edges repeated."""
    radius = max(1, int(np.ceil(3 * sigma)))
    offsets = torch.arange(-radius, radius + 1, device=volume.device, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = kernel / kernel.sum()
    edges = [0] * 6
    edges[2 * (4 - axis)] = edges[2 * (4 - axis) + 1] = radius
    padded, length = pad(volume, edges, mode="replicate"), volume.shape[axis]
    # Shifted sums: a convolution along one axis of a large volume takes several times as long.
    smooth = torch.zeros_like(volume)
    for start, weight in enumerate(kernel.tolist()):
        smooth.add_(padded.narrow(axis, start, length), alpha=weight)
    return smooth


def resize_labels(labels: NDArray[np.uint8], shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """A label map on another grid: each class is interpolated apart, the greatest share wins."""
    best = torch.full(shape, -1.0)
    chosen = torch.zeros(shape, dtype=torch.uint8)
    source = torch.from_numpy(np.array(labels, order="C"))
    # In ascending order, and only a greater share wins: a tie goes to the lower code.
    for code in np.flatnonzero(np.bincount(labels.ravel(), minlength=256)):
        share = resize((source == int(code))[None], shape)[0]
        chosen[share > best] = int(code)
        best = torch.maximum(best, share)
    result: NDArray[np.uint8] = chosen.numpy()
    return result
