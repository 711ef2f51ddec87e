from pathlib import Path
from types import SimpleNamespace

import pytest

from limbeck.data import splits
from limbeck.data.splits import folds
from limbeck.errors import DataError, UsageError


def cohort(path: Path, patients: int, visits: int = 2):
    cases = [
        SimpleNamespace(id=f"p{patient:03}-v{visit}", patient=f"p{patient:03}", segmented=True)
        for patient in range(patients)
        for visit in range(visits)
    ]
    return SimpleNamespace(path=path, cases=(*cases, SimpleNamespace(id="unlabelled", patient="x", segmented=False)))


@pytest.mark.parametrize(("k", "patients"), [(5, 40), (3, 9), (2, 4), (5, 5), (3, 3)])
def test_every_patient_is_tested_once_and_never_parted(tmp_path, k, patients):
    drawn = folds(cohort(tmp_path, patients), k)
    assert len(drawn) == k
    tested = [name for fold in drawn for name in fold.test]
    assert sorted(tested) == sorted(case.id for case in cohort(tmp_path, patients).cases if case.segmented)
    for fold in drawn:
        parts = [{name[:4] for name in part} for part in (fold.train, fold.validation, fold.test)]
        assert all(parts)
        assert sum(map(len, parts)) == len(set.union(*parts)) == patients
        assert len(parts[1]) == max(1, round((patients - len(parts[2])) / 8))


def test_folds_are_stored_and_never_drawn_again(tmp_path, monkeypatch):
    first, other = folds(cohort(tmp_path, 20)), folds(cohort(tmp_path, 20), seed=1)
    assert first != other
    monkeypatch.setattr(splits, "_draw", lambda *_: pytest.fail("drawn again"))
    assert folds(cohort(tmp_path, 20)) == first
    assert folds(cohort(tmp_path, 20), seed=1) == other
    with pytest.raises(DataError, match="other cases"):
        folds(cohort(tmp_path, 21))


def test_the_seed_alone_decides(tmp_path):
    assert folds(cohort(tmp_path / "a", 20), seed=3) == folds(cohort(tmp_path / "b", 20), seed=3)


def test_validation_changes_from_fold_to_fold(tmp_path):
    held = [name for fold in folds(cohort(tmp_path, 40)) for name in fold.validation]
    assert len(set(held)) > 0.6 * len(held)


@pytest.mark.parametrize(("k", "patients"), [(5, 4), (2, 3), (3, 2), (2, 0)])
def test_too_few_patients(tmp_path, k, patients):
    with pytest.raises(DataError, match=f"{patients} patients"):
        folds(cohort(tmp_path, patients), k)
    assert not list(tmp_path.iterdir())


def test_bad_requests(tmp_path):
    with pytest.raises(UsageError, match="at least 2"):
        folds(cohort(tmp_path, 9), 1)
    (tmp_path / "splits.json").write_text("{")
    with pytest.raises(DataError, match="JSON"):
        folds(cohort(tmp_path, 9))
