"""A prediction beside its reference, and what several metrics need of the two, each computed once and only if asked."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from limbeck.errors import DataError
from limbeck.evaluation.lesions import Lesion, Matching, match
from limbeck.evaluation.surfaces import Mask, Nearest, Points, Spacing, nearest, surface
from limbeck.evaluation.table import BOTH_EMPTY, PREDICTION_EMPTY, REFERENCE_EMPTY


class Pair:
    """Two masks of one region, cropped to the smallest box around both: no metric looks beyond it.

    Attributes:
        prediction: bool mask `[X,Y,Z]`, cropped.
        reference: bool mask of the same shape.
        spacing: voxel edges in mm, one for each axis.
        voxel_mm3: a voxel's volume.
        sagittal_slices: how many planes of the first axis the whole image has.
    """

    def __init__(
        self,
        prediction: Mask,
        reference: Mask,
        spacing: Spacing,
        voxel_mm3: float | None = None,
        sagittal_slices: int | None = None,
    ) -> None:
        """Crop.

        Args:
            prediction: bool mask `[X,Y,Z]`.
            reference: bool mask of the same shape.
            spacing: voxel edges in mm, one for each axis.
            voxel_mm3: a voxel's volume, if its edges are not at right angles.
            sagittal_slices: of the whole image, if the masks are cut out of one.

        Raises:
            DataError: the shapes differ.
        """
        if prediction.shape != reference.shape:
            raise DataError(
                f"the prediction's shape is {prediction.shape}; expected the reference's, {reference.shape}"
            )
        box = occupied_box(prediction | reference)
        self.prediction, self.reference = prediction[box], reference[box]
        self.spacing = tuple(spacing)
        self.voxel_mm3 = float(np.prod(spacing)) if voxel_mm3 is None else voxel_mm3
        self.sagittal_slices = prediction.shape[0] if sagittal_slices is None else sagittal_slices

    @cached_property
    def predicted_voxels(self) -> int:
        """The prediction's size."""
        return int(np.count_nonzero(self.prediction))

    @cached_property
    def reference_voxels(self) -> int:
        """The reference's size."""
        return int(np.count_nonzero(self.reference))

    @cached_property
    def shared_voxels(self) -> int:
        """The overlap."""
        return int(np.count_nonzero(self.prediction & self.reference))

    @property
    def empty(self) -> str:
        """Which side is empty, as a table's note says it; nothing if neither is."""
        if self.predicted_voxels and self.reference_voxels:
            return ""
        if self.predicted_voxels:
            return REFERENCE_EMPTY
        return PREDICTION_EMPTY if self.reference_voxels else BOTH_EMPTY

    @cached_property
    def surfaces(self) -> tuple[Points, Points]:
        """The prediction's and the reference's surface voxels, `[N,3]` and `[M,3]`."""
        return surface(self.prediction), surface(self.reference)

    @cached_property
    def forth(self) -> Nearest:
        """From the prediction's surface to the reference's; neither side may be empty."""
        predicted, expected = self.surfaces
        return nearest(predicted, expected, self.spacing)

    @cached_property
    def back(self) -> Nearest:
        """From the reference's surface to the prediction's; neither side may be empty."""
        predicted, expected = self.surfaces
        return nearest(expected, predicted, self.spacing)

    @cached_property
    def lesions(self) -> Matching:
        """The reference's lesions and those of the prediction that answer to them."""
        return match(self.prediction, self.reference, self.voxel_mm3)

    def lesion_distances_mm(self, lesion: Lesion) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Distances between the surfaces of a lesion and of what found it, from the prediction and from the reference.

        A lesion touches no other, so its surface is a part of the whole surface, and a voxel's nearest voxel among all
        is right wherever it belongs to the lesion; only the others search again.

        Args:
            lesion: one that was found.
        """
        predicted, expected = self.surfaces
        finds = np.isin(self.lesions.prediction[tuple(predicted.T)], lesion.found_by)
        belongs = self.lesions.reference[tuple(expected.T)] == lesion.number
        return (
            _distances_within(predicted, expected, (finds, belongs), self.forth, self.spacing),
            _distances_within(expected, predicted, (belongs, finds), self.back, self.spacing),
        )


def _distances_within(
    start: Points, goal: Points, chosen: tuple[Mask, Mask], among_all: Nearest, spacing: Spacing
) -> NDArray[np.float64]:
    """Distances from chosen starts to chosen goals, given the nearest of all goals to each start."""
    starts, goals = chosen
    distances = among_all.distance_mm[starts]
    astray = ~goals[among_all.which[starts]]
    distances[astray] = nearest(start[starts][astray], goal[goals], spacing).distance_mm
    return distances


def occupied_box(mask: Mask) -> tuple[slice, ...]:
    """The smallest box around all that is set, without extent if nothing is."""
    box: list[slice] = []
    for axis in range(mask.ndim):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        # What is known of the box already makes the rest cheaper.
        occupied = np.flatnonzero(mask[tuple(box)].any(axis=others))
        box.append(slice(int(occupied[0]), int(occupied[-1]) + 1) if len(occupied) else slice(0, 0))
    return tuple(box)
