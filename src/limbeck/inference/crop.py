"""The centre crop that some papers predict and score instead of the whole brain."""

from __future__ import annotations

from dataclasses import dataclass

from limbeck.data.geometry import Box, Geometry, Size
from limbeck.errors import UsageError


@dataclass(frozen=True)
class CentreCrop:
    """A block of fixed size in the middle of a scan.

    The offset of each axis is ACN's, `(length - size - 1) // 2` voxels of the stored axis: 39, 23, 13 for
    160x192x128 in 240x240x155 (papers 0.2). An axis no longer than the crop is taken whole.

    Attributes:
        size: voxels along z, y, x of model space.
    """

    size: Size

    def native(self, geometry: Geometry) -> tuple[slice, slice, slice]:
        """The crop as slices of an array on the scan's own grid, `[X,Y,Z]`.

        Raises:
            UsageError: the scan's voxels are not the model's, so that a crop counted in voxels would be another one.
        """
        if geometry.resamples:
            raise UsageError(
                f"voxels of {' x '.join(f'{edge:g}' for edge in geometry.grid.spacing_mm)} mm: expected scans of "
                f"{geometry.spacing_mm:g} mm for a protocol that crops; protocol strict takes any"
            )
        slices = [slice(0)] * 3
        for size, axis in zip(self.size, geometry.axes, strict=True):
            length = geometry.grid.shape[axis]
            start = max((length - size - 1) // 2, 0)
            slices[axis] = slice(start, min(start + size, length))
        first, second, third = slices
        return first, second, third

    def box(self, geometry: Geometry) -> Box:
        """The same crop in model space, where axes may run the other way.

        Raises:
            UsageError: the scan's voxels are not the model's.
        """
        native = self.native(geometry)
        start, stop = [], []
        for axis, flipped, length in zip(geometry.axes, geometry.flipped, geometry.shape, strict=True):
            first, last = native[axis].start, native[axis].stop
            start.append(length - last if flipped else first)
            stop.append(length - first if flipped else last)
        return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))


def crop_of(extent: Size | None) -> CentreCrop | None:
    """The crop of an extent along x, y, z; None, which is the whole brain, of None."""
    if extent is None:
        return None
    x, y, z = extent
    return CentreCrop((z, y, x))
