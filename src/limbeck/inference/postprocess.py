"""Steps after prediction that have a name of their own: what they change is reported beside the raw prediction."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from limbeck.anatomy import Label
from limbeck.errors import DataError, require
from limbeck.overlap import hard_dice

# From leaving all as it is to a millilitre.
THRESHOLDS_MM3: tuple[float, ...] = (0.0, 25.0, 50.0, 100.0, 200.0, 300.0, 500.0, 1000.0)


@dataclass(frozen=True)
class DropSmallEnhancing:
    """Take a little enhancing tumour for none: the habit of BraTS, where one voxel of it costs a whole Dice of 1.

    If a case's enhancing tumour is altogether smaller than the threshold, all of it becomes necrotic core; so TC and
    WT stay as they are. It goes by the whole volume, not by lesion: small satellites of a large one are left alone.

    Attributes:
        threshold_mm3: the least volume that stays; 0 changes nothing.
    """

    threshold_mm3: float

    def __post_init__(self) -> None:
        """Refuse what is no volume.

        Raises:
            UsageError: the threshold is negative or not finite.
        """
        holds = 0 <= self.threshold_mm3 < math.inf
        require(holds, "threshold_mm3", self.threshold_mm3, "a volume in mm3, 0 or more")

    @property
    def name(self) -> str:
        """What a table's column `processing` says, such as `et>=120mm3`."""
        return f"et>={self.threshold_mm3:g}mm3"

    def keeps(self, enhancing_mm3: float) -> bool:
        """Whether enhancing tumour of this volume stays."""
        return enhancing_mm3 >= self.threshold_mm3

    def apply(self, labels: NDArray[np.uint8], voxel_mm3: float) -> NDArray[np.uint8]:
        """The label map with the step done; a new array if anything changes.

        Args:
            labels: `[X,Y,Z]`, codes of `anatomy.Label`.
            voxel_mm3: a voxel's volume.
        """
        enhancing = labels == Label.ENHANCING
        if self.keeps(int(np.count_nonzero(enhancing)) * voxel_mm3):
            return labels
        return np.where(enhancing, np.uint8(Label.NECROTIC_CORE), labels)


def choose(
    pairs: Iterable[tuple[NDArray[np.uint8], NDArray[np.uint8], float]],
    thresholds: Sequence[float] = THRESHOLDS_MM3,
) -> DropSmallEnhancing:
    """The step with the threshold whose mean Dice of ET over validation predictions is best; of equals, the smallest.

    It must see no case that the step is measured on afterwards.

    Args:
        pairs: of each prediction its label map `[X,Y,Z]`, the reference's on the same grid, and the volume of a voxel
            in mm3; looked at once, one after the other.
        thresholds: the volumes in mm3 to choose from.

    Raises:
        DataError: there are no predictions.
    """
    steps = [DropSmallEnhancing(threshold) for threshold in sorted(thresholds)]
    dice = []
    for labels, reference, voxel_mm3 in pairs:
        found, truth = (torch.from_numpy(volume == Label.ENHANCING)[None] for volume in (labels, reference))
        kept, dropped = (hard_dice(mask, truth).item() for mask in (found, torch.zeros_like(found)))
        volume_mm3 = int(found.sum()) * voxel_mm3
        dice.append([kept if step.keeps(volume_mm3) else dropped for step in steps])
    if not dice:
        raise DataError("no validation predictions to choose a threshold by: expected at least one")
    return steps[int(np.mean(dice, axis=0).argmax())]
