"""Run a segmentation over cases and subsets and score it: the same function that predicts is the one measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from limbeck.anatomy import Region, Subset
from limbeck.data.grid import Grid
from limbeck.errors import DataError
from limbeck.evaluation.journal import Journal
from limbeck.evaluation.masks import MaskFolder
from limbeck.evaluation.metrics import score
from limbeck.evaluation.table import RAW, STRICT, Row


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


class Step(Protocol):
    """Something done to a prediction before it is scored."""

    @property
    def name(self) -> str:
        """What rows call it."""

    def apply(self, labels: NDArray[np.uint8], voxel_mm3: float) -> NDArray[np.uint8]:
        """The label map as it is afterwards."""


CaseT = TypeVar("CaseT", bound=ScoredCase)


@dataclass(frozen=True)
class Source:
    """Where rows come from: the columns that all rows of one run share."""

    run: str
    method: str
    fold: int
    seed: int
    data: str = ""
    protocol: str = STRICT

    def row(
        self, case: str, subset: Subset, region: Region, metric: str, value: float, note: str, processing: str
    ) -> Row:
        """A row of this run."""
        return Row(
            self.run,
            self.method,
            self.fold,
            self.seed,
            case,
            subset,
            region,
            metric,
            value,
            note,
            processing,
            self.protocol,
            self.data,
        )


def evaluate(
    segment: Callable[[CaseT, Subset], NDArray[np.uint8]],
    cases: Sequence[CaseT],
    subsets: Sequence[Subset],
    metrics: Sequence[str],
    *,
    source: Source,
    steps: Sequence[Step] = (),
    extent: Callable[[CaseT], tuple[slice, ...]] | None = None,
    masks: MaskFolder | None = None,
    journal: Journal | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Row]:
    """Score a segmentation over every case, and every subset that the case has.

    A prediction is scored on a thread of its own, while the next one is made.

    Args:
        segment: gives the label map `[D,H,W]` of a case from a subset of its sequences, on the reference's grid.
        cases: the cases to score; each reference is read once.
        subsets: the sequences to predict from, one after the other.
        metrics: names in `metrics.METRICS`.
        source: where the rows come from.
        steps: post-processing; each gives rows of its own, beside those of the raw prediction.
        extent: the part of a case's grid that is scored; None for all of it.
        masks: where the raw predictions are written.
        journal: rows known from before, and where those of now are kept.
        progress: told how many of all predictions are done, after each.

    Raises:
        DataError: a prediction does not lie on its reference's grid or holds unknown codes; names the case.
    """
    judge = _Judge(metrics, source, steps)
    served = [[subset for subset in subsets if subset.within(case.present)] for case in cases]
    done, total = 0, sum(map(len, served))
    rows: list[Row] = []
    pool = ThreadPoolExecutor(1)
    # One case behind, so that the last predictions of a case are scored while the first of the next are made.
    behind: _Pending | None = None
    try:
        for case, theirs in zip(cases, served, strict=True):
            known = _known(case.id, theirs, judge, masks, journal)
            if known is not None:
                rows += known
                done += len(theirs)
                _tell(progress, done, total)
                continue
            pending = _Pending(case.id, [])
            for prediction in _predicted(segment, case, theirs, extent, masks):
                pending.scores.append(pool.submit(judge.rows, case.id, prediction))
                done += 1
                _tell(progress, done, total)
            rows += _finished(behind, journal)
            behind = pending
        return rows + _finished(behind, journal)
    finally:
        pool.shutdown(cancel_futures=True)


class _Prediction(NamedTuple):
    """What is scored: two label maps of one shape, and the grid that they were cut from."""

    subset: Subset
    labels: NDArray[np.uint8]
    reference: NDArray[np.uint8]
    grid: Grid


def _predicted(
    segment: Callable[[CaseT, Subset], NDArray[np.uint8]],
    case: CaseT,
    subsets: Sequence[Subset],
    extent: Callable[[CaseT], tuple[slice, ...]] | None,
    masks: MaskFolder | None,
) -> Iterator[_Prediction]:
    """Predictions of a case, one after the other, cut to what is scored."""
    reference, grid = case.reference()
    part = extent(case) if extent is not None else (slice(None),) * reference.ndim
    for subset in subsets:
        labels = segment(case, subset)
        if labels.shape != reference.shape:
            raise DataError(
                f"case {case.id} from {subset}: the prediction's shape is {labels.shape}; "
                f"expected the reference's, {reference.shape}"
            )
        if masks is not None:
            masks.write(case.id, subset, labels, grid)
        yield _Prediction(subset, labels[part], reference[part], grid)


@dataclass(frozen=True)
class _Judge:
    """How a prediction becomes rows."""

    metrics: Sequence[str]
    source: Source
    steps: Sequence[Step]

    def rows(self, case: str, prediction: _Prediction) -> list[Row]:
        """The rows of one prediction, raw and after each step."""
        subset, labels, reference, grid = prediction
        spacing, voxel_mm3 = grid.spacing_mm, grid.voxel_mm3
        try:
            raw = score(labels, reference, spacing, self.metrics, voxel_mm3)
            scores = {RAW: raw}
            for step in self.steps:
                after = step.apply(labels, voxel_mm3)
                unchanged = np.array_equal(after, labels)
                scores[step.name] = raw if unchanged else score(after, reference, spacing, self.metrics, voxel_mm3)
        except DataError as error:
            raise DataError(f"case {case} from {subset}: {error}") from error
        return [
            self.source.row(case, subset, region, metric, value, note, processing)
            for processing, values in scores.items()
            for region, metric, value, note in values
        ]

    def keys(self, case: str, subsets: Sequence[Subset]) -> list[tuple[object, ...]]:
        """What rows a case will have."""
        return [
            self.source.row(case, subset, region, metric, 0.0, "", processing).key
            for subset in subsets
            for processing in (RAW, *(step.name for step in self.steps))
            for region in Region
            for metric in self.metrics
        ]


@dataclass(frozen=True)
class _Pending:
    """A case whose predictions are made, and being scored."""

    case: str
    scores: list[Future[list[Row]]]


def _known(
    case: str, subsets: Sequence[Subset], judge: _Judge, masks: MaskFolder | None, journal: Journal | None
) -> list[Row] | None:
    """The rows of a case that was finished before; None if it has to be predicted."""
    if journal is None or (masks is not None and not masks.whole(case, subsets)):
        return None
    return journal.rows(case, judge.keys(case, subsets))


def _finished(pending: _Pending | None, journal: Journal | None) -> list[Row]:
    if pending is None:
        return []
    rows = [row for future in pending.scores for row in future.result()]
    if journal is not None:
        journal.add(pending.case, rows)
    return rows


def _tell(progress: Callable[[int, int], None] | None, done: int, total: int) -> None:
    if progress is not None:
        progress(done, total)
