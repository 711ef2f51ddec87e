"""A patient's sequences, thinned to some 4 mm: all that is needed to see what is odd about them, in little time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from limbeck.anatomy import Modality
from limbeck.data.grid import Grid

_SPACING_MM = 3.5
# Coil shading and its remedies vary over longer distances than this, tissue over shorter ones.
_SHADING_MM = 30.0
# The dark end of a logarithm is noise, not tissue.
_FLOOR = 0.05


@dataclass(frozen=True)
class Coarse:
    """Every few voxels of sequences that share a grid.

    Attributes:
        images: `[X,Y,Z]` float32 each, axes as in the file, 0 outside the brain if it was skull-stripped.
        spacing_mm: distance of neighbours along each axis.
        voxel_ml: volume that each stands for, in millilitres.
    """

    images: Mapping[Modality, NDArray[np.float32]]
    spacing_mm: tuple[float, float, float]
    voxel_ml: float

    @classmethod
    def of(cls, images: Mapping[Modality, NDArray[Any]], grid: Grid) -> Coarse:
        """Thin arrays `[X,Y,Z]` on `grid`. Voxels are picked, not averaged, so that 0 stays 0."""
        step = [max(1, round(_SPACING_MM / edge)) for edge in grid.spacing_mm]
        pick = tuple(slice(None, None, width) for width in step)
        x, y, z = (width * edge for width, edge in zip(step, grid.spacing_mm, strict=True))
        thinned = {modality: np.asarray(images[modality][pick], np.float32) for modality in sorted(images)}
        return cls(thinned, (x, y, z), grid.voxel_ml * step[0] * step[1] * step[2])

    def only(self, modalities: set[Modality]) -> Coarse:
        """The same with some of the sequences."""
        kept = {modality: image for modality, image in self.images.items() if modality in modalities}
        return Coarse(kept, self.spacing_mm, self.voxel_ml)

    @property
    def brain(self) -> NDArray[np.bool_]:
        """Where every sequence has signal."""
        return np.asarray(np.logical_and.reduce([image != 0 for image in self.images.values()]))

    def depth_mm(self, mask: NDArray[np.bool_], beyond: bool = False) -> NDArray[np.float32]:
        """Distance from what is outside of a mask; `beyond`: the mask is thought to go on beyond the grid."""
        padded = np.pad(mask, 1, mode="edge") if beyond else np.pad(mask, 1)
        depth = ndimage.distance_transform_edt(padded, sampling=self.spacing_mm)[1:-1, 1:-1, 1:-1]
        return np.asarray(depth, np.float32)

    def evened(self, mask: NDArray[np.bool_]) -> dict[Modality, NDArray[np.float32]]:
        """Logarithms of the intensities in a mask, without what varies slowly; 0 outside."""
        width = [_SHADING_MM / edge for edge in self.spacing_mm]
        weight = np.maximum(ndimage.gaussian_filter(mask.astype(np.float32), width), 1e-3)
        evened = {}
        for modality, image in self.images.items():
            values = image[mask]
            # Images that were normalised before have values below 0, of which there is no logarithm.
            values = values - min(0.0, float(np.quantile(values, 0.001)))
            logs = np.zeros(mask.shape, np.float32)
            logs[mask] = np.log(np.maximum(values, max(_FLOOR * float(np.median(values)), 1e-6)))
            evened[modality] = np.where(mask, logs - ndimage.gaussian_filter(logs, width) / weight, np.float32(0))
        return evened
