"""Predictions as files, for whoever wants to look at them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from limbeck.anatomy import CANONICAL_SCHEME, Subset
from limbeck.data.grid import Grid
from limbeck.data.volume import write_labels
from limbeck.durable import write_json
from limbeck.errors import UsageError

_ORIGIN = "masks.json"


@dataclass(frozen=True)
class MaskFolder:
    """The masks of one run: `<case>_<subset>.nii.gz`, uint8 codes of `anatomy.Label` on the scan's own grid.

    Beside them `masks.json` names the cohort and the protocol, since cases of two cohorts may have the same names.
    """

    folder: Path

    def check(self, origin: Mapping[str, str]) -> None:
        """Refuse to write over masks of other scans with the same names, or by other rules.

        Args:
            origin: cohort and protocol, by name.

        Raises:
            UsageError: the folder holds them; the message says which.
        """
        for name, value in self.origin().items():
            if value != origin.get(name):
                raise UsageError(f"{self.folder} holds masks of another {name} ({value[:12]}): give another --masks")

    def begin(self, origin: Mapping[str, str]) -> None:
        """Say whose masks these are, before the first."""
        write_json(self.folder / _ORIGIN, dict(origin))

    def origin(self) -> dict[str, str]:
        """What was said so; nothing if nothing was."""
        try:
            found = json.loads((self.folder / _ORIGIN).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}

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
        write_labels(self.path(case, subset), labels, grid, CANONICAL_SCHEME)
