"""Run a segmentation over cases and subsets and score it: the same function that predicts is the one measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from limbeck.anatomy import Subset
from limbeck.errors import DataError
from limbeck.evaluation.metrics import score
from limbeck.evaluation.table import Row


class Grid(Protocol):
    """Where voxels lie in space."""

    @property
    def affine(self) -> NDArray[Any]:
        """`[4,4]` from voxel indices to mm."""


class ScoredCase(Protocol):
    """A case with a reference segmentation."""

    @property
    def id(self) -> str:
        """The case's name in its cohort."""

    @property
    def present(self) -> Sequence[bool]:
        """`[4]`, which sequences lie on disk."""

    def reference(self) -> tuple[NDArray[np.uint8], Grid]:
        """The label map `[D,H,W]` in codes of `anatomy.Label` on the scan's own grid, and that grid."""


CaseT = TypeVar("CaseT", bound=ScoredCase)


def evaluate(
    segment: Callable[[CaseT, Subset], NDArray[np.uint8]],
    cases: Sequence[CaseT],
    subsets: Sequence[Subset],
    metrics: Sequence[str] = ("dice", "hd95_mm"),
    *,
    run: str,
    method: str,
    fold: int,
    seed: int,
    data: str = "",
    progress: Callable[[int, int], None] | None = None,
) -> list[Row]:
    """Score a segmentation over every case, and every subset that the case has.

    Args:
        segment: gives the label map `[D,H,W]` of a case from a subset of its sequences, on the reference's grid.
        cases: the cases to score; each reference is read once.
        subsets: the sequences to predict from, one after the other.
        metrics: names in `metrics.METRICS`.
        run: the run's name.
        method: the method's name.
        fold: the fold held out.
        seed: the run's seed.
        data: the hash of the cases' cohort.
        progress: told how many of all predictions are done, after each.

    Raises:
        DataError: a prediction does not lie on its reference's grid or holds unknown codes; names the case.
    """
    rows: list[Row] = []
    done, total = 0, sum(subset.within(case.present) for case in cases for subset in subsets)
    for case in cases:
        reference, grid = case.reference()
        spacing = voxel_edges_mm(grid.affine)
        for subset in (subset for subset in subsets if subset.within(case.present)):
            labels = segment(case, subset)
            try:
                scores = score(labels, reference, spacing, metrics)
            except DataError as error:
                raise DataError(f"case {case.id} from {subset}: {error}") from error
            rows += [
                Row(run, method, fold, seed, case.id, subset, region, metric, value, note, data=data)
                for region, metric, value, note in scores
            ]
            done += 1
            if progress is not None:
                progress(done, total)
    return rows


def voxel_edges_mm(affine: NDArray[Any]) -> tuple[float, float, float]:
    """Lengths of a voxel's three edges in mm: the norms of the affine's columns."""
    first, second, third = np.linalg.norm(np.asarray(affine, dtype=np.float64)[:3, :3], axis=0)
    return float(first), float(second), float(third)
