"""Evaluation: every case and subset once, with the spacing of the scan's own grid."""

from dataclasses import dataclass

import numpy as np
import pytest

from limbeck.anatomy import Region, Subset
from limbeck.errors import DataError
from limbeck.evaluation.evaluate import Source, evaluate, voxel_edges_mm

SUBSETS = [Subset.parse("t1ce"), Subset.parse("flair+t2")]


@dataclass(frozen=True)
class Grid:
    affine: np.ndarray


@dataclass
class Case:
    present = (True, True, True, True)
    id: str
    at: int
    reads: int = 0

    def reference(self):
        self.reads += 1
        labels = np.zeros((10, 4, 4), dtype=np.uint8)
        labels[self.at, 1, 1] = 3
        # First axis of the array runs along the patient's z, in steps of 2.5 mm.
        return labels, Grid(np.array([[0, 0, -0.5, 9], [0, 0.8, 0, 9], [2.5, 0, 0, 9], [0, 0, 0, 1]]))


def always_at_two(case, subset):
    labels = np.zeros((10, 4, 4), dtype=np.uint8)
    labels[2, 1, 1] = 3
    return labels


SOURCE = Source("r", "gkd", fold=2, seed=7, data="hash", protocol="own-2")


def measured(cases, segment=always_at_two, **more):
    return evaluate(segment, cases, SUBSETS, ("dice", "hd95_mm"), source=SOURCE, **more)


def test_one_row_for_each_case_subset_region_and_metric():
    cases = [Case("a", 2), Case("b", 6)]
    rows = measured(cases)
    assert len({row.key for row in rows}) == len(rows) == 2 * 2 * 3 * 2
    assert {Source(row.run, row.method, row.fold, row.seed, row.data, row.protocol) for row in rows} == {SOURCE}
    assert [case.reads for case in cases] == [1, 1]
    found = {(row.case, row.metric): row.value for row in rows if row.region is Region.ET}
    assert found == {("a", "dice"): 1.0, ("a", "hd95_mm"): 0.0, ("b", "dice"): 0.0, ("b", "hd95_mm"): 4 * 2.5}


def test_the_segmentation_is_asked_with_each_subset():
    asked = []

    def segment(case, subset):
        asked.append((case.id, str(subset)))
        return always_at_two(case, subset)

    measured([Case("a", 2), Case("b", 6)], segment)
    assert asked == [("a", "t1ce"), ("a", "flair+t2"), ("b", "t1ce"), ("b", "flair+t2")]


def test_progress_counts_predictions():
    told = []
    measured([Case("a", 2), Case("b", 6)], progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_the_case_is_named_when_its_prediction_does_not_fit():
    with pytest.raises(DataError, match=r"case b from t1ce: .*shape"):
        measured([Case("b", 6)], lambda case, subset: np.zeros((9, 4, 4), dtype=np.uint8))


def test_voxel_edges_are_the_norms_of_the_columns():
    angle = 0.3
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([0.9, -1.1, 5.0])
    assert voxel_edges_mm(affine) == pytest.approx((0.9, 1.1, 5.0))
