"""Real patients as plain arrays, read by nibabel alone, and the Dice between their masks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from limbeck.anatomy import Modality

# In the codes that BraTS used until 2022, which `limbeck predict` writes unless asked for others.
REGIONS = {"WT": (1, 2, 4), "TC": (1, 4), "ET": (4,)}
# The Decathlon's codes for oedema, core and enhancing tumour as those of BraTS.
_DECATHLON = np.array([0, 2, 1, 4], np.uint8)


@dataclass(frozen=True)
class Patient:
    """A patient's sequences and reference on one grid.

    Attributes:
        name: of the case.
        images: `[X,Y,Z]` int16 for each sequence.
        labels: `[X,Y,Z]` uint8, codes of BraTS 2018.
        affine: `[4,4]`, voxel indices to millimetres.
    """

    name: str
    images: Mapping[Modality, NDArray[Any]]
    labels: NDArray[np.uint8]
    affine: NDArray[np.float64]

    def thinned(self) -> Patient:
        """Every second voxel: 75 along z, which are 37 and a half of twice the size."""
        cut = (slice(None, None, 2), slice(None, None, 2), slice(1, 150, 2))
        affine = self.affine @ np.diag([2.0, 2.0, 2.0, 1.0])
        affine[:3, 3] = (self.affine @ (0, 0, 1, 1))[:3]
        images = {modality: image[cut] for modality, image in self.images.items()}
        return replace(self, images=images, labels=self.labels[cut], affine=affine)


def patients(real: Path) -> list[Patient]:
    """The four development cases."""
    found = [_brats(path.parent) for path in sorted(real.glob("BraTS20*/**/*_flair.nii.gz"))]
    return [*found, *(_decathlon(path) for path in sorted(real.glob("Task01_*/imagesTr/*.nii.gz")))]


def _brats(folder: Path) -> Patient:
    images = {
        modality: np.asanyarray(nib.load(folder / f"{folder.name}_{modality.role}.nii.gz").dataobj)
        for modality in Modality
    }
    seg = nib.load(folder / f"{folder.name}_seg.nii.gz")
    return Patient(folder.name, images, np.asanyarray(seg.dataobj).astype(np.uint8), seg.affine)


def _decathlon(path: Path) -> Patient:
    # Its channels are FLAIR, T1w, T1gd, T2w; its floats are whole numbers.
    stack = nib.load(path)
    channels = np.asanyarray(stack.dataobj).astype(np.int16)
    images = {modality: channels[..., index] for index, modality in enumerate(Modality)}
    seg = np.asanyarray(nib.load(path.parent.parent / "labelsTr" / path.name).dataobj)
    return Patient(path.name.split(".")[0], images, _DECATHLON[seg], stack.affine)


def dice(one: NDArray[Any], other: NDArray[Any]) -> dict[str, float]:
    """Dice of each region between two label maps; 1 where both are empty."""
    result = {}
    for region, codes in REGIONS.items():
        first, second = np.isin(one, codes), np.isin(other, codes)
        total = int(first.sum()) + int(second.sum())
        result[region] = 2 * int((first & second).sum()) / total if total else 1.0
    return result
