"""What a volume's header declares, held against what a scan can be, whatever the format.

Nothing here asks for memory: a header is checked before the voxels are read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from limbeck.data.grid import by
from limbeck.data.source import Source, shown
from limbeck.errors import DataError

# 512 cubed with four channels: far above any clinical head scan, far below what makes a laptop swap.
MAX_VOXELS = 2**29
# From microscopy to a localiser's slices.
_EDGE_MM = (0.01, 100.0)
_MAX_EXTENT_MM = 600.0
_MAX_PLACE_MM = 1e6
# Share of the box with these edges; the gantry's tilt takes a tenth of it.
_MIN_UPRIGHT = 1e-3


def check_dimensions(source: Source, shape: tuple[int, ...]) -> None:
    """Refuse a shape that is not 3-D, or, for a source with a channel, not 4-D with that channel.

    Raises:
        DataError: it is not; further dimensions of one voxel count as none where no channel is asked for.
    """
    while len(shape) > 3 and shape[-1] == 1 and source.channel is None:
        shape = shape[:-1]
    if source.channel is None and len(shape) == 3:
        return
    if source.channel is None:
        remedy = (
            "give each sequence its own file, or the folder of its dataset.json"
            if len(shape) == 4
            else "export it again"
        )
        raise DataError(f"{source}: {len(shape)}-D, {by(shape)}, where one 3-D volume is expected: {remedy}")
    if len(shape) != 4 or not 0 <= source.channel < shape[3]:
        raise DataError(
            f"{source}: {by(shape)}, where a 4-D file that has this channel is expected: check dataset.json"
        )


def check_affine(source: Source, affine: NDArray[np.float64]) -> None:
    """Refuse an affine that places no voxel, or places it as no scanner does.

    Raises:
        DataError: it holds NaN or infinite numbers, cannot be inverted, or its voxels are out of any scanner's range
            in size or place, as when its unit is not the millimetre.
    """
    name = shown(source.path)
    if not np.isfinite(affine).all():
        raise DataError(f"{name}: its affine holds NaN or infinite numbers: expected millimetres; export it again")
    with np.errstate(over="ignore"):
        edges = np.linalg.norm(affine[:3, :3], axis=0)
        far = float(np.abs(affine[:3, 3]).max())
    if edges.min() > 0 and not _EDGE_MM[0] <= edges.min() <= edges.max() <= _EDGE_MM[1]:
        raise DataError(
            f"{name}: its affine has voxels of {_mm(edges)}: "
            f"expected edges of {_EDGE_MM[0]:g} to {_EDGE_MM[1]:g} mm; check the unit, or export it again"
        )
    if abs(np.linalg.det(affine[:3, :3])) <= _MIN_UPRIGHT * edges.prod():
        raise DataError(
            f"{name}: its affine cannot be inverted, two axes point the same way or one has no length: export it again"
        )
    if far > _MAX_PLACE_MM:
        raise DataError(
            f"{name}: its affine puts the first voxel {far:.3g} mm away: "
            f"expected at most {_MAX_PLACE_MM:g} mm; export it again"
        )


def check_extent(source: Source, shape: Sequence[int], affine: NDArray[np.float64]) -> None:
    """Refuse a scan that no head fills, since it would be resampled to a volume that no memory holds.

    Args:
        source: what is checked.
        shape: voxels along the file's own axes; the first three count.
        affine: `[4,4]`, checked by `check_affine`.

    Raises:
        DataError: an axis is too long.
    """
    extent = np.linalg.norm(affine[:3, :3], axis=0) * np.asarray(shape[:3], np.float64)
    if extent.max() > _MAX_EXTENT_MM:
        raise DataError(
            f"{shown(source.path)}: spans {_mm(extent)}: "
            f"expected at most {_MAX_EXTENT_MM:g} mm; check the voxel size in its header"
        )


def check_voxels(source: Source, shape: Sequence[int]) -> int:
    """The number of voxels, if a scan can have so many; Python's integers cannot wrap.

    Raises:
        DataError: a dimension is below 1, there is none, or there are more than `MAX_VOXELS` in all.
    """
    voxels = math.prod(shape)
    if len(shape) == 0 or min(shape) < 1 or voxels > MAX_VOXELS:
        raise DataError(
            f"{shown(source.path)}: its header declares {by(shape)} voxels: expected at most {MAX_VOXELS} in all"
        )
    return voxels


def _mm(lengths: NDArray[np.float64]) -> str:
    return " x ".join(f"{length:.3g}" for length in lengths) + " mm"
