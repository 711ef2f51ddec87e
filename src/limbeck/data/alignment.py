"""Sequences on different grids brought onto one of them, by what their headers say and no more.

Nothing is registered: if the patient moved between two sequences, they still do not match afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform, gaussian_filter

from limbeck.anatomy import Modality
from limbeck.data.grid import Grid, by
from limbeck.errors import DataError

Volumes: TypeAlias = dict[Modality, tuple[NDArray[Any], Grid]]

# Which of several equally fine grids the result lies on: the sequence that a surgeon navigates by comes first.
_ORDER = (Modality.T1CE, Modality.T1, Modality.T2, Modality.FLAIR)


def aligned(read: Volumes, names: Mapping[Modality, str]) -> tuple[Volumes, Grid, tuple[str, ...]]:
    """All volumes on the grid of one of them, that grid, and a line for each that was resampled.

    Args:
        read: for each sequence its array `[X,Y,Z]` and its grid.
        names: what to call each in a message.

    Raises:
        DataError: a header says nothing of where the scan lies, or two scans have no place in common.
    """
    lost = [f"{names[modality]}" for modality, (_, grid) in sorted(read.items()) if grid.unplaced]
    if lost:
        raise DataError(
            f"{', '.join(lost)}: its header does not say where the scan lies, so it cannot be resampled onto "
            "another one's grid: register it instead"
        )
    anchor = reference({modality: grid for modality, (_, grid) in read.items()})
    target = read[anchor][1]
    result: Volumes = {}
    notes = []
    for modality, (array, grid) in read.items():
        if target.difference(grid) is None:
            result[modality] = (array, target)
            continue
        moved = onto(array, grid, target)
        if not moved.any():
            raise DataError(
                f"{names[modality]}: its header puts it nowhere near {names[anchor]}: expected scans of one patient "
                "in one session; register them instead"
            )
        result[modality] = (moved, target)
        notes.append(
            f"{modality.role} ({by(grid.shape)}) was resampled onto the grid of {anchor.role} ({by(target.shape)}) "
            "by their headers; nothing was registered, so check that they match"
        )
    return result, target, tuple(notes)


def reference(grids: Mapping[Modality, Grid]) -> Modality:
    """The sequence whose grid the others are brought onto.

    It is the one whose longest voxel edge is shortest, since thin slices keep more than they take; of equals (to a
    hundredth of a millimetre) the one whose grid most sequences share already; then t1ce, t1, t2, flair.
    """

    def rank(modality: Modality) -> tuple[float, int, int]:
        grid = grids[modality]
        sharing = sum(grid.difference(other) is None for other in grids.values())
        return round(max(grid.spacing_mm), 2), -sharing, _ORDER.index(modality)

    return min(grids, key=rank)


def onto(image: NDArray[Any], grid: Grid, target: Grid) -> NDArray[np.float32]:
    """An image `[X,Y,Z]` on another grid by its place in the scanner, trilinear; 0 where it does not reach.

    Voxels that are 0 are background: at the brain's edge a value comes from the brain alone, since a mixture would be a
    dark rim. Where the target's voxels are larger, the image is smoothed first, so that no voxel is skipped: with
    variance `(f^2 - 2) / 12` for steps of f voxels, together with the interpolation that of a box of f voxels.
    """
    steps = np.linalg.inv(grid.affine) @ target.affine
    reach = np.linalg.norm(steps[:3, :3], axis=1)
    sigma = np.sqrt(np.maximum(reach**2 - 2, 0) / 12)

    def moved(volume: NDArray[np.float32]) -> NDArray[np.float32]:
        smooth = gaussian_filter(volume, sigma, mode="constant") if sigma.any() else volume
        values: NDArray[np.float32] = affine_transform(
            smooth, steps[:3, :3], steps[:3, 3], target.shape, np.float32, order=1, mode="grid-constant"
        )
        return values

    values, share = moved(np.asarray(image, np.float32)), moved((image != 0).astype(np.float32))
    brain = share >= 0.5
    result = np.zeros(target.shape, np.float32)
    np.divide(values, share, out=result, where=brain)
    return result
