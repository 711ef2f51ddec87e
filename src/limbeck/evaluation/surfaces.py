"""Surfaces of masks and the distances between them, as lists of voxels: what HD95 and its kin are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree

Mask: TypeAlias = NDArray[np.bool_]
Points: TypeAlias = NDArray[np.intp]
Spacing: TypeAlias = Sequence[float]

# A search among few voxels is fast in any box, a map in a small box whatever lies in it. A search can also be slow: in
# the middle of a large sphere everything is equally near, and an untrained network's speckle has millions of voxels.
_SMALL_BOX_VOXELS = 2_000_000
_FEW_SURFACE_VOXELS = 60_000


class Nearest(NamedTuple):
    """For each starting voxel, the nearest goal.

    Attributes:
        distance_mm: `[N]`, between centres.
        which: `[N]`, the goal's position among the goals; any of several that are equally near.
    """

    distance_mm: NDArray[np.float64]
    which: NDArray[np.intp]


def surface(mask: Mask) -> Points:
    """The mask's voxels, `[N,3]` in order of the array, with a face neighbour outside the mask or the array."""
    return np.argwhere(mask & ~ndimage.binary_erosion(mask, border_value=0))


def nearest(start: Points, goal: Points, spacing: Spacing) -> Nearest:
    """The nearest goal to each start, by Euclidean distance between voxel centres in mm.

    Args:
        start: `[N,3]` voxel indices.
        goal: `[M,3]` voxel indices, at least one, in order of the array (as `surface` gives them).
        spacing: voxel edges in mm, one for each axis.
    """
    if not len(start):
        return Nearest(np.empty(0), np.empty(0, dtype=np.intp))
    low = np.minimum(start.min(axis=0), goal.min(axis=0))
    extent = np.maximum(start.max(axis=0), goal.max(axis=0)) + 1 - low
    if int(np.prod(extent)) > _SMALL_BOX_VOXELS and len(start) + len(goal) <= _FEW_SURFACE_VOXELS:
        return _searched(start, goal, spacing)
    return _mapped(start - low, goal - low, spacing, tuple(extent))


def _searched(start: Points, goal: Points, spacing: Spacing) -> Nearest:
    edges = np.asarray(spacing, dtype=np.float64)
    distance, index = KDTree(goal * edges).query(start * edges)
    return Nearest(distance, index)


def _mapped(start: Points, goal: Points, spacing: Spacing, shape: tuple[int, ...]) -> Nearest:
    """Read from a map of the whole box, which names each voxel's nearest goal."""
    away = np.ones(shape, dtype=bool)
    away[tuple(goal.T)] = False
    feature = ndimage.distance_transform_edt(away, sampling=spacing, return_distances=False, return_indices=True)
    start, goal = np.ascontiguousarray(start.T), np.ascontiguousarray(goal.T)
    found = feature[:, *start]
    edges = np.asarray(spacing, dtype=np.float64)[:, None]
    distance = np.linalg.norm((start - found) * edges, axis=0)
    which = np.searchsorted(np.ravel_multi_index(tuple(goal), shape), np.ravel_multi_index(tuple(found), shape))
    return Nearest(distance, which)
