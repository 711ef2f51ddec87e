"""Smooth fields over the head: lattices in millimetres, noise, and moving a field from one lattice to another.

Everything that describes an anatomy is drawn on lattices that are fixed in millimetres and only then brought to the
grid of the images, so the same patient can be had at any spacing. Moving is separable, hence three products with
small sparse matrices, which is many times faster than a general interpolation; and, unlike dense products, whose last
bits depend on the number of threads, the same everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Field: TypeAlias = NDArray[np.float32]
Mask: TypeAlias = NDArray[np.bool_]
# A sparse matrix `[points, samples]` that works along one axis; None leaves the axis alone.
Along: TypeAlias = Any


@dataclass(frozen=True)
class Lattice:
    """Equally spaced points: the first point and the spacing in mm, and the number of points by axis.

    Coordinates are millimetres from the middle of the head: first towards the patient's left, second backwards,
    third upwards, as in BraTS.
    """

    first: tuple[float, float, float]
    spacing: float
    shape: tuple[int, int, int]

    def along(self, axis: int) -> Field:
        """Coordinates of the points along one axis, in mm."""
        return (self.first[axis] + self.spacing * np.arange(self.shape[axis])).astype(np.float32)

    def coordinates(self) -> tuple[Field, Field, Field]:
        """Coordinates of all points, three arrays that broadcast to `[X,Y,Z]`."""
        return self.along(0)[:, None, None], self.along(1)[None, :, None], self.along(2)[None, None, :]


def covering(lattice: Lattice, spacing: float, margin: int = 2) -> Lattice:
    """A lattice of another spacing that reaches `margin` points beyond the standard box of a head.

    The box does not depend on `lattice` but by containing it, so that noise drawn on it is the same for every grid.
    """
    shape = tuple(int(np.ceil(2 * reach / spacing)) + 1 + 2 * margin for reach in _REACH)
    first = tuple(centre - spacing * (count - 1) / 2 for centre, count in zip(_CENTRE, shape, strict=True))
    if any(lattice.first[a] < first[a] for a in range(3)):
        raise ValueError("the lattice reaches beyond the box of a head")
    return Lattice((first[0], first[1], first[2]), spacing, (shape[0], shape[1], shape[2]))


_CENTRE = (0.0, 1.0, -3.0)
_REACH = (74.0, 94.0, 77.0)


@lru_cache(maxsize=256)
def _weights(first: float, step: float, count: int, start: float, stride: float, points: int, kernel: str) -> Along:
    """Interpolation weights `[points, count]` from samples at `first + step*i` to points at `start + stride*j`."""
    at = (start + stride * np.arange(points) - first) / step
    distance = np.abs(at[:, None] - np.arange(count)[None, :])
    if kernel == "linear":
        weights = np.clip(1 - distance, 0, None)
    elif kernel == "spline":
        near, far = 2 / 3 - distance**2 + distance**3 / 2, np.clip(2 - distance, 0, None) ** 3 / 6
        weights = np.where(distance < 1, near, far)
    else:
        near = 1.5 * distance**3 - 2.5 * distance**2 + 1
        far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
        weights = np.where(distance < 1, near, np.where(distance < 2, far, 0.0))
    total = weights.sum(1, keepdims=True)
    return _thin(weights / np.where(total > 1e-6, total, 1.0))


def separable(field: Field, matrices: tuple[Along, Along, Along]) -> Field:
    """Apply one matrix along each axis of `field` `[X,Y,Z]`, the last axis first, as growing fields want it."""
    first, second, third = matrices
    if third is not None:
        turned = np.ascontiguousarray(field.reshape(-1, field.shape[2]).T)
        field = np.ascontiguousarray((third @ turned).T).reshape(*field.shape[:2], third.shape[0])
    if second is not None:
        field = np.stack([second @ plane for plane in field])
    if first is not None:
        field = (first @ field.reshape(field.shape[0], -1)).reshape(first.shape[0], *field.shape[1:])
    return np.asarray(field, dtype=np.float32)


def _thin(weights: NDArray[np.floating]) -> Along:
    return sparse.csr_array(np.where(np.abs(weights) > 1e-6, weights, 0).astype(np.float32))


def move(field: Field, source: Lattice, target: Lattice, kernel: str = "cubic") -> Field:
    """Interpolate a field from one lattice to another; `kernel` is linear, cubic (Catmull-Rom) or spline (smooths)."""
    matrices = [
        _weights(
            source.first[a], source.spacing, source.shape[a], target.first[a], target.spacing, target.shape[a], kernel
        )
        for a in range(3)
    ]
    return separable(field, (matrices[0], matrices[1], matrices[2]))


def noise(rng: np.random.Generator, scale_mm: float, target: Lattice) -> Field:
    """Gaussian noise of unit variance without structure finer than about `scale_mm`, on `target`.

    The draws do not depend on `target`: the same generator state gives the same field on every grid.
    """
    source = covering(target, scale_mm)
    white = rng.standard_normal(source.shape, dtype=np.float32)
    # A cubic spline averages white samples: 0.479 is the mean sum of its squared weights along one axis.
    return move(white, source, target, "spline") * np.float32(0.479**-1.5)


def grain(rng: np.random.Generator, scale_mm: float, target: Lattice) -> Field:
    """Like `noise`, but where the grid is too coarse to show the scale, plain white noise."""
    if scale_mm < 0.7 * target.spacing:
        return rng.standard_normal(target.shape, dtype=np.float32)
    return noise(rng, scale_mm, target)


def banded(rng: np.random.Generator, wavelength_mm: float, target: Lattice) -> Field:
    """Noise of unit variance that has one wavelength, as the folds of the cortex have, in all directions alike."""
    source = covering(target, wavelength_mm / 6)
    spectrum = np.fft.rfftn(rng.standard_normal(source.shape, dtype=np.float32))
    frequencies = [np.fft.fftfreq(n, source.spacing) for n in source.shape[:2]]
    last = np.fft.rfftfreq(source.shape[2], source.spacing)
    radius = np.sqrt(frequencies[0][:, None, None] ** 2 + frequencies[1][None, :, None] ** 2 + last[None, None, :] ** 2)
    band = np.exp(-(((radius * wavelength_mm - 1) / 0.22) ** 2))
    field = np.fft.irfftn(spectrum * band, s=source.shape, axes=(0, 1, 2)).astype(np.float32)
    return move(field / field.std(), source, target)


def sheet_distance(field: Field, spacing: float, limit: float = 12.0) -> Field:
    """Signed distance in mm to the sheets where a smooth field is zero, to first order: value over steepness."""
    steep = np.sqrt(sum((np.gradient(field, spacing, axis=a) ** 2 for a in range(3)), np.float32(1e-6)))
    return np.asarray(np.clip(field / steep, -limit, limit), dtype=np.float32)


def soft(signed: Field | NDArray[np.floating], width: float) -> Field:
    """Share of a voxel inside a surface: 1 where the signed distance is well below zero; `width` mm of transition."""
    return np.asarray(np.clip(np.float32(0.5) - signed / np.float32(width), 0, 1), dtype=np.float32)


def blur(count: int, sigma: float) -> Along:
    """Gaussian smoothing along an axis of `count` voxels; `sigma` in voxels; None for next to no smoothing."""
    if sigma < 0.2:
        return None
    offset = np.arange(count)
    weights = np.exp(-0.5 * ((offset[:, None] - offset[None, :]) / sigma) ** 2)
    return _thin(weights / weights.sum(1, keepdims=True))


def slices(count: int, thickness: float, phase: float) -> Along:
    """Slices of `thickness` voxels averaged and then interpolated linearly back to `count` voxels; None below one."""
    if thickness <= 1.05:
        return None
    centres = np.arange(-thickness + phase * thickness, count + thickness, thickness)
    offset = np.arange(count)
    profile = np.clip(thickness / 2 + 0.5 - np.abs(offset[None, :] - centres[:, None]), 0, 1) + 1e-6
    profile /= profile.sum(1, keepdims=True)
    back = np.clip(1 - np.abs(offset[:, None] - centres[None, :]) / thickness, 0, None)
    back /= back.sum(1, keepdims=True)
    return _thin(np.einsum("ij,jk->ik", back, profile))
