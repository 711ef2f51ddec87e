"""A run is never scored on, and never teaches for, a patient whom it has learnt from."""

import json
from types import SimpleNamespace

import pytest

from limbeck import teachers
from limbeck.data.splits import Fold
from limbeck.errors import ModelError
from limbeck.evaluation.eligible import FOLD, TAUGHT, learnt_from, seen_by
from limbeck.methods import find


def case(name, patient, oedema_ml):
    return SimpleNamespace(id=name, patient=patient, label_ml={"oedema": oedema_ml})


def run(folder, *seen):
    record = {"train": {one.id: one.label_ml for one in seen}, "validation": {}, "test": {}}
    (folder / FOLD).write_text(json.dumps(record))
    return folder


def test_another_examination_of_a_patient_counts_as_learnt_from(tmp_path):
    first, second, stranger = case("p1-a", "p1", 1.5), case("p1-b", "p1", 2.5), case("p2-a", "p2", 3.5)
    folder = run(tmp_path, first)
    assert learnt_from(folder, [second, stranger], [first, second, stranger]) == ["p1-b"]
    assert learnt_from(folder, [first, second, stranger]) == ["p1-a", "p1-b"]


def test_what_a_teacher_has_learnt_from_its_student_knows_too(tmp_path):
    own, taught, stranger = case("p1-a", "p1", 1.5), case("p2-a", "p2", 2.5), case("p1-a", "p9", 9.5)
    folder = run(tmp_path, own)
    assert learnt_from(folder, [taught, stranger]) == []
    (folder / TAUGHT).write_text(json.dumps([{"p2-a": taught.label_ml}, {"p7-a": {"oedema": 1.0}}]))
    assert learnt_from(folder, [own, taught, stranger]) == ["p1-a", "p2-a"]
    assert seen_by(folder) == [{"p1-a": own.label_ml}, {"p2-a": taught.label_ml}, {"p7-a": {"oedema": 1.0}}]
    (folder / TAUGHT).write_text("[1]")
    with pytest.raises(ModelError, match=r"taught_by\.json is damaged"):
        learnt_from(folder, [taught])


def test_the_same_names_of_other_people_count_as_unseen(tmp_path):
    folder = run(tmp_path, case("p1-a", "p1", 1.5))
    others = [case("p1-a", "p1", 9.5), case("p1-b", "p1", 2.5)]
    assert learnt_from(folder, others, others) == []


def test_a_teacher_who_knows_a_patient_by_an_examination_outside_the_fold_is_refused(tmp_path, monkeypatch):
    cases = {name: case(name, name[:2], number) for number, name in enumerate(("p1-a", "p1-b", "p2-a", "p3-a"))}
    folder = run(tmp_path, cases["p1-a"])
    (folder / teachers.DONE).touch()
    monkeypatch.setattr(teachers, "load", lambda *_: None)
    monkeypatch.setattr(teachers, "_misfits", lambda *_: [])
    asked = SimpleNamespace(method="gkd", teachers=dict.fromkeys(find("gkd").needs, folder))
    cohort = SimpleNamespace(case=cases.get, cases=tuple(cases.values()))
    with pytest.raises(ModelError, match=r"learnt from patients of 1 cases held out here \(first: p1-b\)"):
        teachers.teachers_of(asked, cohort, Fold(("p2-a",), ("p3-a",), ("p1-b",)))
