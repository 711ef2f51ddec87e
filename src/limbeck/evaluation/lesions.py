"""Which predicted lesion answers to which reference lesion: the rules of the BraTS 2023 challenge.

Source: the challenge's own scoring program for glioma (three steps of dilation, 50 mm³); product.md has its rules. The
dilation counts in voxels, as there, where all images have 1 mm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from limbeck.evaluation.surfaces import Mask

DILATION_STEPS = 3
IGNORED_UP_TO_MM3 = 50.0

_OVER_FACES_AND_EDGES = ndimage.generate_binary_structure(3, 2)
_OVER_ALL_26 = ndimage.generate_binary_structure(3, 3)


@dataclass(frozen=True)
class Lesion:
    """A reference lesion that counts.

    Attributes:
        number: its value in `Matching.reference`.
        found_by: values in `Matching.prediction` of the predicted lesions that reach its dilation, ascending; none if
            it was missed.
        dice: of the lesion and all of these together.
    """

    number: int
    found_by: NDArray[np.intp]
    dice: float


@dataclass(frozen=True)
class Matching:
    """The lesions of a prediction and a reference.

    Attributes:
        lesions: the reference lesions of more than 50 mm³.
        false_positives: how many predicted lesions reach no reference lesion, not even a small one.
        prediction: `[D,H,W]`, numbers of predicted lesions from 1, 0 outside.
        reference: `[D,H,W]`, numbers of reference lesions from 1, 0 outside.
    """

    lesions: tuple[Lesion, ...]
    false_positives: int
    prediction: NDArray[np.int32]
    reference: NDArray[np.int32]

    @property
    def counted(self) -> int:
        """What a lesion-wise score is divided by."""
        return len(self.lesions) + self.false_positives


def match(prediction: Mask, reference: Mask, voxel_mm3: float) -> Matching:
    """Match predicted with reference lesions.

    A predicted lesion is a part connected over faces, edges or corners. Reference lesions are such parts too, but
    those whose dilations touch are one. A predicted lesion belongs to every reference lesion whose dilation it
    reaches.

    Args:
        prediction: bool mask `[D,H,W]`.
        reference: bool mask of the same shape. Both may be cropped to a box around both: what two dilations share
            beyond the box, they share at its face too.
        voxel_mm3: a voxel's volume.
    """
    predicted, parts = ndimage.label(prediction, structure=_OVER_ALL_26)
    dilated = ndimage.binary_dilation(reference, _OVER_FACES_AND_EDGES, iterations=DILATION_STEPS)
    # A part of the dilation is exactly the dilation of the one lesion in it.
    zones, joined = ndimage.label(dilated, structure=_OVER_ALL_26)
    numbered = np.where(reference, zones, 0)
    predicted_voxels = np.bincount(predicted.ravel(), minlength=parts + 1)
    reference_voxels = np.bincount(numbered.ravel(), minlength=joined + 1)
    part, zone, _ = _pairs(predicted, zones)
    _, number, shared = _pairs(predicted, numbered)
    reference_voxels[0] = 0
    lesions = []
    for lesion in np.flatnonzero(reference_voxels * voxel_mm3 > IGNORED_UP_TO_MM3):
        found_by = part[zone == lesion]
        overlap = int(shared[number == lesion].sum())
        size = int(reference_voxels[lesion] + predicted_voxels[found_by].sum())
        lesions.append(Lesion(int(lesion), found_by, 2.0 * overlap / size))
    return Matching(tuple(lesions), parts - len(np.unique(part)), predicted, numbered)


def _pairs(
    first: NDArray[np.int32], second: NDArray[np.int32]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """The pairs of numbers that share voxels, in order, and how many voxels they share."""
    both = (first > 0) & (second > 0)
    base = int(second.max(initial=0)) + 1
    pair, voxels = np.unique(first[both].astype(np.intp) * base + second[both], return_counts=True)
    return pair // base, pair % base, voxels
