"""Interpolation between voxel grids that cover the same block of space."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate


def resize(images: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Trilinear, `[C,*]` to `[C,shape]`; one channel at a time, to bound memory.

    Two voxels into one is an exact mean by itself. Beyond that voxels would be skipped, so they are smoothed first:
    with variance `(f^2 - 4) / 12`, together with the interpolation that of a box of f voxels.
    """
    resized = images.new_empty((len(images), *shape), dtype=torch.float32)
    for channel, image in enumerate(images):
        volume = image.float()[None, None]
        for axis, (old, new) in enumerate(zip(image.shape, shape, strict=True)):
            volume = _smooth(volume, 2 + axis, _sigma(old, new))
        resized[channel] = interpolate(volume, size=shape, mode="trilinear", align_corners=False)[0, 0]
    return resized


def resize_array(image: NDArray[np.float32], shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """`resize` for one NumPy volume."""
    resized: NDArray[np.float32] = resize(torch.from_numpy(image)[None], shape)[0].numpy()
    return resized


@dataclass(frozen=True, eq=False)
class Stretch:
    """How an axis of a block comes to another number of voxels, as far as the block has an influence there.

    Attributes:
        source: the voxels of the old axis that are looked at; more than the block, where there is more.
        reached: the voxels of the new axis that are made of them.
        lower: `[N]`, the old neighbour below each of these, counted from the source's first.
        upper: `[N]`, the one above.
        share: `[N]` float32, how much of the upper one.
        sigma: of the smoothing before, in old voxels; 0 for none.
    """

    source: slice
    reached: slice
    lower: Tensor
    upper: Tensor
    share: Tensor
    sigma: float

    @classmethod
    def of(cls, block: slice, old: int, new: int) -> Stretch:
        """From `old` voxels to `new`, of which a block is not background; weights are those of `resize`."""
        sigma = _sigma(old, new)
        radius = _radius(sigma) if sigma else 0
        places = ((torch.arange(new) + 0.5) * (old / new) - 0.5).clamp_(min=0)
        lower = places.long().clamp_(max=old - 1)
        upper = (lower + 1).clamp_(max=old - 1)
        reached = torch.nonzero((upper >= block.start - radius) & (lower < block.stop + radius)).flatten().tolist()
        first, last = (reached[0], reached[-1] + 1) if reached else (0, 0)
        # One voxel of background at least, whose value is also that of all beyond.
        start, stop = max(0, block.start - radius - 1), min(old, block.stop + radius + 1)
        made = slice(first, last)
        return cls(slice(start, stop), made, lower[made] - start, upper[made] - start, (places - lower)[made], sigma)

    def apply(self, images: Tensor, axis: int) -> Tensor:
        """An axis of `[C,*]` that holds the source, as the voxels that are reached."""
        images = _smooth(images, axis, self.sigma)
        by_axis = [1] * images.ndim
        by_axis[axis] = -1
        made = images.index_select(axis, self.lower).mul_((1 - self.share).view(by_axis))
        return made.addcmul_(images.index_select(axis, self.upper), self.share.view(by_axis))

    def planes(self, images: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Axis 1 of `[C,D,H,W]` likewise, one plane `[C,H,W]` after the other, each with its number."""
        images = _smooth(images, 1, self.sigma)
        places = (values.tolist() for values in (self.lower, self.upper, 1 - self.share, self.share))
        for number, (lower, upper, rest, share) in enumerate(zip(*places, strict=True), self.reached.start):
            yield number, (images[:, lower] * rest).add_(images[:, upper], alpha=share)


def _sigma(old: int, new: int) -> float:
    """Of the smoothing that keeps voxels from being skipped, in old voxels; 0 if there is none to do."""
    factor = old / new
    return float(((factor**2 - 4) / 12) ** 0.5) if factor > 2 else 0.0


def _radius(sigma: float) -> int:
    return max(1, int(np.ceil(3 * sigma)))


def _smooth(volume: Tensor, axis: int, sigma: float) -> Tensor:
    """Gaussian along one axis of `[*]`, edges repeated; the volume itself if sigma is 0."""
    if not sigma:
        return volume
    radius = _radius(sigma)
    offsets = torch.arange(-radius, radius + 1, device=volume.device, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = kernel / kernel.sum()
    length = volume.shape[axis]
    first, last = volume.narrow(axis, 0, 1), volume.narrow(axis, length - 1, 1)
    padded = torch.cat([*[first] * radius, volume, *[last] * radius], dim=axis)
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
