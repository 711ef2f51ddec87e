"""What a volume's header declares, held against what a scan can be, whatever the format.

Nothing here asks for memory: a header is checked before the voxels are read.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from limbeck.data.grid import by
from limbeck.data.source import Source
from limbeck.errors import DataError

# 512 cubed with four channels: far above any clinical head scan, far below what makes a laptop swap.
MAX_VOXELS = 2**29
_log = logging.getLogger("limbeck")


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
        remedy = "give each sequence its own file, or import with layout msd" if len(shape) == 4 else "export it again"
        raise DataError(f"{source}: {len(shape)}-D, {by(shape)}, where one 3-D volume is expected: {remedy}")
    if len(shape) != 4 or not 0 <= source.channel < shape[3]:
        raise DataError(
            f"{source}: {by(shape)}, where a 4-D file that has this channel is expected: check dataset.json"
        )


def check_affine(source: Source, affine: NDArray[np.float64]) -> None:
    """Refuse an affine that places no voxel.

    Raises:
        DataError: it holds NaN or infinite numbers, or cannot be inverted.
    """
    if not np.isfinite(affine).all():
        raise DataError(
            f"{source.path}: its affine holds NaN or infinite numbers: expected millimetres; export it again"
        )
    if abs(np.linalg.det(affine[:3, :3])) < 1e-6:
        raise DataError(
            f"{source.path}: its affine cannot be inverted, two axes point the same way or one has no length: export it"
        )


def check_voxels(source: Source, shape: Sequence[int]) -> int:
    """The number of voxels, if a scan can have so many; Python's integers cannot wrap.

    Raises:
        DataError: a dimension is below 1, there is none, or there are more than `MAX_VOXELS` in all.
    """
    voxels = math.prod(shape)
    if len(shape) == 0 or min(shape) < 1 or voxels > MAX_VOXELS:
        raise DataError(f"{source.path}: its header declares {by(shape)} voxels: expected at most {MAX_VOXELS} in all")
    return voxels


def warn_unplaced(source: Source, lacks: str, orientation: str) -> None:
    """Say that a file does not tell where it lies, so that left and right may be swapped."""
    _log.warning("%s: %s: orientation %s is a guess", source.path, lacks, orientation)
