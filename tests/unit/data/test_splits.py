import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from limbeck.data import splits
from limbeck.data.splits import folds, read_split
from limbeck.errors import DataError, UsageError


def cohort(path: Path, patients: int, visits: int = 2, lacking=()):
    """Patients of two visits; those whose numbers are in `lacking` have T1ce alone."""
    cases = [
        SimpleNamespace(
            id=f"p{patient:03}-v{visit}",
            patient=f"p{patient:03}",
            segmented=True,
            present=tuple(patient not in lacking or number == 2 for number in range(4)),
        )
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


def test_stored_folds_that_part_a_patient_are_refused_with_the_remedy(tmp_path):
    made = cohort(tmp_path, 9)
    folds(made, 3)
    for case in made.cases:
        # As an import with another name_mapping.csv into the same folder leaves it.
        case.patient = f"joined{int(case.id[1:4]) % 4}" if case.segmented else case.patient
    with pytest.raises(DataError, match=r"3 folds, seed 0, fold 0: patient joined. is in train .*; remove the file"):
        folds(made, 3)


def test_stored_folds_of_any_other_shape_are_data(tmp_path):
    path, made = tmp_path / "splits.json", cohort(tmp_path, 9)
    folds(made, 3)
    ((key, good),) = json.loads(path.read_text()).items()
    fold = good["folds"][0]
    spoilt = [3, {}, {"cases": 1}, {**good, "folds": 3}, {**good, "folds": []}, {**good, "folds": [fold]}]
    spoilt += [{**good, "folds": [each] * 3} for each in (3, {}, {**fold, "test": 3}, {**fold, "test": ["nobody"]})]
    spoilt += [{**good, "folds": [{part: fold[part] for part in ("train", "test")}] * 3}]
    texts = ["[]", "3", "null", "[" * 100_000, '{"a":' * 100_000, *(json.dumps({key: each}) for each in spoilt)]
    for text in texts:
        path.write_text(text)
        with pytest.raises(DataError, match=r"splits\.json"):
            folds(made, 3)
    path.write_text(json.dumps({key: good}))
    assert len(folds(made, 3)) == 3


def test_patients_who_lack_the_same_are_dealt_to_the_folds_in_turn(tmp_path):
    lacking = range(0, 20, 2)
    for fold in folds(cohort(tmp_path, 20, lacking=lacking)):
        partial = [name for name in fold.test if int(name[1:4]) in lacking]
        assert len(partial) == len(fold.test) / 2


def test_a_patient_with_all_sequences_is_tested_and_chosen_by_where_there_are_enough(tmp_path):
    drawn = folds(cohort(tmp_path, 20, lacking=range(15)))
    for fold in drawn:
        for part in (fold.train, fold.validation, fold.test):
            assert any(int(name[1:4]) >= 15 for name in part)


def test_the_last_patient_with_all_sequences_is_left_to_train_on(tmp_path):
    for fold in folds(cohort(tmp_path, 12, lacking=range(10)), 3):
        whole = {name[:4] for name in fold.train} & {"p010", "p011"}
        assert whole or {"p010", "p011"} <= {name[:4] for name in fold.test}


def test_folds_of_patients_with_all_sequences_are_those_of_every_version(tmp_path):
    # Written down, since a table of last year must be found again.
    tested = ((2, 5), (0, 4), (1, 3), (6, 7))
    drawn = folds(cohort(tmp_path, 8, visits=1), 4)
    assert [fold.test for fold in drawn] == [(f"p00{one}-v0", f"p00{other}-v0") for one, other in tested]
    assert [fold.validation for fold in drawn] == [(f"p00{one}-v0",) for one in (0, 3, 7, 4)]


def split_file(path: Path, *entries, **more) -> Path:
    path.write_text(json.dumps({"folds": list(entries), **more}))
    return path


def names(*patients: int) -> list[str]:
    return [f"p{patient:03}-v{visit}" for patient in patients for visit in range(2)]


def test_a_split_is_sorted_and_its_hash_is_of_its_content(tmp_path):
    parts = {"train": names(0, 1, 2), "validation": names(3), "test": names(4)}
    turned = {part: names[::-1] for part, names in reversed(parts.items())}
    one, other = (
        read_split(split_file(tmp_path / f"{number}.json", entry), cohort(tmp_path, 5))
        for number, entry in enumerate((parts, turned))
    )
    assert one.folds == other.folds and one.hash == other.hash
    assert one.fold(0, 1) == splits.Fold(*(tuple(parts[part]) for part in ("train", "validation", "test")))
    moved = {**parts, "train": names(0, 1), "test": names(2, 4)}
    assert read_split(split_file(tmp_path / "moved.json", moved), cohort(tmp_path, 5)).hash != one.hash


def test_a_split_without_validation_gets_an_eighth_of_the_patients_and_always_the_same(tmp_path):
    path = split_file(tmp_path / "split.json", {"train": names(*range(16)), "test": names(16, 17)})
    (fold,) = read_split(path, cohort(tmp_path, 18)).folds
    parts = [{name[:4] for name in part} for part in (fold.train, fold.validation, fold.test)]
    assert [len(part) for part in parts] == [14, 2, 2] and len(set.union(*parts)) == 18
    assert sorted((*fold.train, *fold.validation)) == names(*range(16))
    # Written down, since a table of last year must be found again.
    assert fold.validation == ("p000-v0", "p000-v1", "p011-v0", "p011-v1")


def test_a_split_holds_as_many_folds_as_the_setting_says(tmp_path):
    split = read_split(split_file(tmp_path / "s.json", {"train": names(0, 1), "test": names(2)}), cohort(tmp_path, 3))
    with pytest.raises(UsageError, match=r"s\.json has 1 in its folds, setting folds is 5: give --folds 1"):
        split.fold(0, 5)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"train": names(0, 1), "test": ["p02-v0"]}, r"test: no case 'p02-v0' .*did you mean 'p002-v0'"),
        ({"train": names(0, 1), "test": ["unlabelled"]}, "case unlabelled has no segmentation"),
        ({"train": names(0, 1), "test": names(1, 2)}, "case p001-v0 is in train and in test"),
        ({"train": names(0), "validation": names(1), "test": [*names(2), "p001-v1"]}, "in validation and in test"),
        (
            {"train": [*names(0), "p001-v0"], "validation": names(2), "test": ["p001-v1"]},
            r"patient p001 is in train \(p001-v0\) and in test \(p001-v1\)",
        ),
        ({"train": [*names(0), "p000-v0"], "test": names(1)}, "case p000-v0 stands 2 times"),
        ({"train": names(0), "test": names(1)}, "1 patients to train on and no validation"),
        ({"train": names(0, 1), "test": []}, "test: expected a list of names"),
        ({"train": names(0, 1), "test": "p002-v0"}, "test: expected a list of names"),
        ({"train": names(0, 1)}, "found train; expected train, test"),
        ({"train": names(0, 1), "test": names(2), "tset": []}, "found train, test, tset"),
        (["p000-v0"], "found list"),
    ],
)
def test_a_wrong_split_is_told_by_name(tmp_path, entry, said):
    with pytest.raises(DataError, match=rf"split .*s\.json, fold 0.*{said}"):
        read_split(split_file(tmp_path / "s.json", entry), cohort(tmp_path, 4))


@pytest.mark.parametrize("text", [None, "{", "[]", '{"folds": []}', '{"folds": {}}', '{"folds": [{}], "seed": 1}'])
def test_what_is_no_split_is_told(tmp_path, text):
    path = tmp_path / "s.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError, match=r"split .*s\.json"):
        read_split(path, cohort(tmp_path, 4))
