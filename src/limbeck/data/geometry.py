"""From a scan's own grid to the model's and back: a pair of transforms, tested as a round trip.

**Native space** is the file's voxel grid, axes as stored, `[X,Y,Z]`. **Model space** is indexed `[z,y,x]`, written
`[D,H,W]`: z grows towards superior, y towards anterior, x towards the patient's right, as near as the file's axes come
by flips and permutation alone, with isotropic voxels of the model's spacing. An axis within 1 % of that spacing keeps
its voxels, so that label maps of usual data come back voxel for voxel.
"""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from nibabel.orientations import io_orientation
from numpy.typing import NDArray

from limbeck.data.grid import Grid
from limbeck.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

Size: TypeAlias = tuple[int, int, int]
_SAME_SPACING = 0.01
_MAX_MODEL_VOXELS = 2**28


@dataclass(frozen=True)
class Box:
    """A block of voxels in model space: `start` belongs to it, `stop` does not. Both are `(z, y, x)`."""

    start: Size
    stop: Size

    @property
    def shape(self) -> Size:
        """Voxels along z, y, x."""
        return _size(b - a for a, b in zip(self.start, self.stop, strict=True))

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """Index for the last three axes of an array in model space."""
        z, y, x = (slice(a, b) for a, b in zip(self.start, self.stop, strict=True))
        return z, y, x

    @classmethod
    def around(cls, mask: NDArray[np.bool_], margin: int = 0) -> Box:
        """The smallest box with all true voxels of `[D,H,W]`, grown by a margin; the whole volume if there are none."""
        start, stop = [], []
        for axis, length in enumerate(mask.shape):
            others = tuple(other for other in range(3) if other != axis)
            inside = np.flatnonzero(mask.any(axis=others))
            first, last = (int(inside[0]), int(inside[-1])) if len(inside) else (0, length - 1)
            start.append(max(0, first - margin))
            stop.append(min(length, last + 1 + margin))
        return cls(_size(start), _size(stop))

    def restore(self, values: Tensor, shape: Size) -> Tensor:
        """Put what lies in the box, `[C,d,h,w]`, back into a volume `[C,D,H,W]` that is 0 elsewhere.

        Args:
            values: of the box's shape.
            shape: the volume's `(D, H, W)`.
        """
        whole = values.new_zeros(len(values), *shape)
        whole[(slice(None), *self.slices)] = values
        return whole


@dataclass(frozen=True)
class Geometry:
    """The way between one scan's grid and model space.

    Attributes:
        grid: the scan's own grid.
        spacing_mm: edge of the model's voxels that was asked for.
        axes: the native axis that becomes z, y and x of model space.
        flipped: whether that axis runs the other way.
        shape: the model grid's `(D, H, W)`.
    """

    grid: Grid
    spacing_mm: float
    axes: Size
    flipped: tuple[bool, bool, bool]
    shape: Size

    @classmethod
    def of(cls, grid: Grid, spacing_mm: float) -> Geometry:
        """The geometry of a scan for a model's spacing.

        Raises:
            DataError: the model grid would be absurdly large.
        """
        towards = io_orientation(grid.affine)
        by_world_axis = {int(world): native for native, world in enumerate(towards[:, 0])}
        axes = (by_world_axis[2], by_world_axis[1], by_world_axis[0])
        z, y, x = (bool(towards[axis, 1] < 0) for axis in axes)
        spacing = grid.spacing_mm
        shape = _size(_resampled(grid.shape[axis], spacing[axis], spacing_mm) for axis in axes)
        if float(shape[0]) * shape[1] * shape[2] > _MAX_MODEL_VOXELS:
            raise DataError(
                f"voxels of {spacing} mm would become {shape} voxels of {spacing_mm:g} mm: "
                f"expected at most {_MAX_MODEL_VOXELS}; check the voxel size in the header"
            )
        return cls(grid, spacing_mm, axes, (z, y, x), shape)

    @property
    def oriented_shape(self) -> Size:
        """Shape after flips and permutation, before resampling: `(D, H, W)`."""
        return _size(self.grid.shape[axis] for axis in self.axes)

    @property
    def resamples(self) -> bool:
        """Whether voxels are interpolated; if not, every transform is exact."""
        return self.shape != self.oriented_shape

    def orient(self, array: NDArray[Any]) -> NDArray[Any]:
        """A view of `[X,Y,Z]` with axes z, y, x: flips and permutation only, no copy."""
        return array.transpose(self.axes)[self._flips()]

    def to_model(self, array: NDArray[Any]) -> NDArray[np.float32]:
        """An image `[X,Y,Z]` on the model grid: `[D,H,W]` float32, C-contiguous; trilinear where it is resampled."""
        oriented = np.array(self.orient(array), np.float32, order="C")
        if not self.resamples:
            return oriented
        # Imported here, since a data set at the model's spacing needs no torch: its workers start in no time.
        from limbeck.data.resample import resize_array  # noqa: PLC0415

        return resize_array(oriented, self.shape)

    def labels_to_model(self, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A label map `[X,Y,Z]` on the model grid: each class is interpolated, the strongest wins, never a number."""
        return _resize_labels(np.array(self.orient(labels), order="C"), self.shape)

    def to_native_scores(self, scores: Tensor) -> Tensor:
        """Scores with the scan's own voxels and the model's axes, `[C,*oriented_shape]`, on its grid: `[C,X,Y,Z]`."""
        turned = [axis + 1 for axis, flipped in enumerate(self.flipped) if flipped]
        return scores.flip(turned).permute(0, *(1 + axis for axis in self._inverse_axes()))

    def labels_to_native(self, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A label map `[D,H,W]` on the scan's grid, `[X,Y,Z]`: exact if nothing was resampled."""
        return _resize_labels(labels, self.oriented_shape)[self._flips()].transpose(self._inverse_axes())

    def to_json(self) -> dict[str, Any]:
        """The geometry as plain numbers."""
        return {
            "grid": self.grid.to_json(),
            "spacing_mm": self.spacing_mm,
            "axes": list(self.axes),
            "flipped": list(self.flipped),
            "shape": list(self.shape),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Geometry:
        """The geometry that `to_json` described."""
        z, y, x = (bool(value) for value in content["flipped"])
        return cls(
            Grid.from_json(content["grid"]),
            float(content["spacing_mm"]),
            _size(content["axes"]),
            (z, y, x),
            _size(content["shape"]),
        )

    def _flips(self) -> tuple[slice, ...]:
        return tuple(slice(None, None, -1 if flipped else 1) for flipped in self.flipped)

    def _inverse_axes(self) -> Size:
        return _size(self.axes.index(native) for native in range(3))


def _resampled(voxels: int, native_mm: float, model_mm: float) -> int:
    if abs(native_mm - model_mm) <= _SAME_SPACING * model_mm:
        return voxels
    # Rounded first, since the last digit of a float32 header would otherwise decide halves.
    return max(1, round(round(voxels * native_mm / model_mm, 3)))


def _resize_labels(labels: NDArray[np.uint8], shape: Size) -> NDArray[np.uint8]:
    if labels.shape == shape:
        return labels
    from limbeck.data.resample import resize_labels  # noqa: PLC0415

    return resize_labels(labels, shape)


def _size(values: Any) -> Size:
    z, y, x = (int(value) for value in values)
    return z, y, x
