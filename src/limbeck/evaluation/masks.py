"""Predictions as files, for whoever wants to look at them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from limbeck.anatomy import Subset
from limbeck.data.grid import Grid
from limbeck.data.volume import write_labels

# Each label is its own code, as in a cohort's own references.
_CANONICAL = "brats2024"


@dataclass(frozen=True)
class MaskFolder:
    """The masks of one run: `<case>_<subset>.nii.gz`, uint8 codes of `anatomy.Label` on the scan's own grid."""

    folder: Path

    def path(self, case: str, subset: Subset) -> Path:
        """Where a prediction lies."""
        return self.folder / f"{case}_{subset}.nii.gz"

    def whole(self, case: str, subsets: Sequence[Subset]) -> bool:
        """Whether every prediction of a case is there; none is ever partial."""
        return all(self.path(case, subset).is_file() for subset in subsets)

    def write(self, case: str, subset: Subset, labels: NDArray[np.uint8], grid: Grid) -> None:
        """Write a prediction durably.

        Raises:
            ResourceError: the disk is full.
        """
        write_labels(self.path(case, subset), labels, grid, _CANONICAL)
