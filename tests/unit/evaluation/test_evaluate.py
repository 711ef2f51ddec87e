"""Evaluation: every case and subset once, with the spacing of the scan's own grid."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from limbeck.anatomy import Region, Subset
from limbeck.data.grid import Grid
from limbeck.errors import DataError
from limbeck.evaluation.evaluate import Source, evaluate
from limbeck.evaluation.journal import Journal
from limbeck.evaluation.masks import MaskFolder

SUBSETS = [Subset.parse("t1ce"), Subset.parse("flair+t2")]


@dataclass
class Case:
    present = (True, True, True, True)
    id: str
    at: int
    affine: np.ndarray = field(
        default_factory=lambda: np.array([[0, 0, -0.5, 9], [0, 0.8, 0, 9], [2.5, 0, 0, 9], [0, 0, 0, 1]])
    )
    reads: int = 0

    def reference(self):
        self.reads += 1
        labels = np.zeros((10, 4, 4), dtype=np.uint8)
        labels[self.at, 1, 1] = 3
        # First axis of the array runs along the patient's z, in steps of 2.5 mm.
        return labels, Grid.of(labels.shape, self.affine)


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


def test_volumes_are_those_of_the_grid_even_where_its_axes_lean():
    """A voxel of 1 x 1 x 3 mm that leans: its third edge is longer than 3 mm, its volume is not."""
    lean = np.array([[1, 0, 0, 0], [0, 1, 0.5, 0], [0, 0, 3, 0], [0, 0, 0, 1.0]])
    rows = evaluate(
        lambda case, subset: np.zeros((10, 4, 4), dtype=np.uint8),
        [Case("a", 2, lean)],
        SUBSETS[:1],
        ("volume_error_ml",),
        source=SOURCE,
    )
    assert [row.value for row in rows] == [-0.003] * 3


class WithoutSmall:
    """Everything below two voxels' volume goes."""

    name = "small"

    def __init__(self):
        self.volumes = []

    def apply(self, labels, voxel_mm3):
        self.volumes.append(voxel_mm3)
        return labels if np.count_nonzero(labels) > 1 else np.zeros_like(labels)


def test_post_processed_rows_stand_beside_raw_ones():
    step = WithoutSmall()
    rows = measured([Case("a", 2)], steps=[step])
    assert len({row.key for row in rows}) == len(rows) == 2 * 2 * 3 * 2
    dice = {(row.processing, row.value) for row in rows if row.metric == "dice" and row.region is Region.ET}
    assert dice == {("raw", 1.0), ("small", 0.0)}
    assert step.volumes == pytest.approx([0.5 * 0.8 * 2.5] * 2)


def test_a_step_that_changes_nothing_gives_the_same_scores_without_another_look(monkeypatch):
    looks = []
    real = evaluate.__globals__["score"]
    monkeypatch.setitem(evaluate.__globals__, "score", lambda *words: looks.append(1) or real(*words))
    kept = WithoutSmall()
    kept.apply = lambda labels, voxel_mm3: labels
    rows = measured([Case("a", 2)], steps=[kept])
    assert len(looks) == len(SUBSETS)
    by = {name: [row.value for row in rows if row.processing == name] for name in ("raw", "small")}
    assert by["raw"] == by["small"]


def test_only_the_extent_is_scored():
    def twice(case, subset):
        labels = always_at_two(case, subset)
        labels[8, 3, 3] = 3
        return labels

    whole = measured([Case("a", 2)], twice)
    part = measured([Case("a", 2)], twice, extent=lambda case: (slice(0, 5), slice(0, 4), slice(0, 4)))
    assert [{row.value for row in rows if row.metric == "dice"} for rows in (whole, part)] == [{2 / 3}, {1.0}]


def test_masks_are_written_raw_and_once_for_each_prediction(tmp_path, monkeypatch):
    written = {}
    monkeypatch.setattr(
        MaskFolder, "write", lambda self, case, subset, labels, grid: written.update({self.path(case, subset): labels})
    )
    measured([Case("a", 2)], masks=MaskFolder(tmp_path), steps=[WithoutSmall()])
    assert sorted(path.name for path in written) == ["a_flair+t2.nii.gz", "a_t1ce.nii.gz"]
    assert all(np.array_equal(labels, always_at_two(None, None)) for labels in written.values())


class Killed(BaseException):
    pass


@pytest.mark.parametrize("at", range(1, 7))
def test_a_broken_evaluation_goes_on_to_the_same_rows_and_predicts_no_finished_case_again(tmp_path, at):
    cases = [Case(name, place) for name, place in (("a", 2), ("b", 6), ("c", 3))]
    undisturbed = measured(cases)
    asked = []

    def mortal(case, subset):
        asked.append(case.id)
        if len(asked) == at:
            raise Killed
        return always_at_two(case, subset)

    journal = Journal(tmp_path / "run", {"data": "hash"})
    with pytest.raises(Killed):
        measured(cases, mortal, journal=journal)
    finished = {path.stem for path in (tmp_path / "run").glob("*.csv")}
    assert len(finished) == max(0, (at - 1) // 2 - 1), "all but the one whose scores may still be under way"
    asked, told = [], []
    at = 0
    rows = measured(cases, mortal, journal=journal, progress=lambda *counts: told.append(counts))
    assert sorted(rows, key=lambda row: row.key) == sorted(undisturbed, key=lambda row: row.key)
    assert not finished & set(asked)
    assert told[-1] == (6, 6)


def test_without_its_masks_a_case_is_predicted_again(tmp_path, monkeypatch):
    monkeypatch.setattr(MaskFolder, "write", lambda self, case, subset, labels, grid: self.path(case, subset).touch())
    asked = []

    def counted(case, subset):
        asked.append(subset)
        return always_at_two(case, subset)

    def again():
        measured([Case("a", 2)], counted, journal=Journal(tmp_path / "run", {}), masks=MaskFolder(tmp_path))
        return len(asked)

    assert again() == 2
    assert again() == 2
    (tmp_path / "a_t1ce.nii.gz").unlink()
    assert again() == 4
