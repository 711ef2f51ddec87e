"""Teachers that do not fit, students that a method cannot have: an error before any training, nothing is written."""

from __future__ import annotations

import json
import shutil

import pytest
from some_patients import copy_first
from workbench import FAST, MODEL, USAGE

from limbeck.cli import main
from limbeck.data.cohort import Cohort
from limbeck.data.splits import folds
from limbeck.methods import find

METHODS_WITH_A_TEACHER = {"gkd": "supervised", "pkdr": "pkdr_teacher", "limbeck": "dropout"}
METHODS_WITHOUT = ("supervised", "pkdr_teacher", "rirn", "mtcmkd", "choi")


def training(bench, method: str, *words: object, subset: str = "flair") -> list[object]:
    return ["train", method, "--data", bench.cohort, "--subset", subset, "--out", bench.root / "new", *FAST, *words]


@pytest.mark.parametrize(("method", "provider"), METHODS_WITH_A_TEACHER.items())
def test_a_distilled_student_needs_a_teacher(method, provider, bench) -> None:
    bench.refuses(USAGE, *training(bench, method), says=("--teacher", provider))


@pytest.mark.parametrize("method", METHODS_WITHOUT)
def test_a_method_that_makes_its_own_teacher_takes_none(method, bench) -> None:
    bench.refuses(USAGE, *training(bench, method, "--teacher", bench.teacher), says=(method, "no trained teacher"))


@pytest.mark.parametrize("method", METHODS_WITH_A_TEACHER)
def test_a_teacher_that_is_no_run(method, bench, tmp_path) -> None:
    bench.refuses(MODEL, *training(bench, method, "--teacher", tmp_path / "nowhere"), says=("nowhere",))
    bench.refuses(MODEL, *training(bench, method, "--teacher", bench.phantoms), says=("checkpoint",))


@pytest.mark.parametrize("part", ["weights-*", "checkpoint.json"])
def test_a_teacher_with_a_broken_file(part, bench, tmp_path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(bench.teacher, broken)
    for path in broken.rglob(part):
        path.write_bytes(path.read_bytes()[:40])
    bench.refuses(MODEL, *training(bench, "gkd", "--teacher", broken), says=("broken",))


def test_a_teacher_of_other_sequences(bench) -> None:
    words = training(bench, "gkd", "--teacher", bench.student)
    bench.refuses(MODEL, *words, says=("sequences flair", "expected all four"))


def test_a_teacher_of_another_label_space(bench) -> None:
    """PKDR learns regions that may include one another, and patches; a supervised run knows exclusive labels."""
    words = training(bench, "pkdr", "--teacher", bench.teacher)
    bench.refuses(MODEL, *words, says=("method supervised", "expected pkdr_teacher"))


def test_a_teacher_of_another_network(bench) -> None:
    words = training(bench, "gkd", "--teacher", bench.teacher, "--network", "vnet", "--patch", "48,48,48")
    bench.refuses(MODEL, *words, says=("network unet of width 8", "the student has vnet of width 8"))
    words = training(bench, "gkd", "--teacher", bench.wide)
    bench.refuses(MODEL, *words, says=("width 16", "width 8"))


@pytest.mark.parametrize("subset", ["flair+t1ce", "t1+t1ce+t2", "flair+t1+t1ce+t2"])
def test_a_subset_that_a_method_cannot_serve(subset, bench) -> None:
    bench.refuses(USAGE, *training(bench, "mtcmkd", subset=subset), says=("mtcmkd", "one sequence", subset))


def test_patches_have_to_tile_the_crop(bench) -> None:
    words = training(bench, "pkdr_teacher", "--network", "vnet", "--patch", "48,48,40")
    bench.refuses(USAGE, *words, says=("patch", "40", "multiples of 16"))


def test_images_have_to_be_what_the_method_is_set_to(bench) -> None:
    words = training(bench, "mtcmkd", "--as-published", "true")
    bench.refuses(USAGE, *words, says=("z-score", "needs raw", "--normalisation raw"))


def test_a_method_without_any_term_is_refused(bench) -> None:
    off = ["--segmentation-weight", "0", "--soft-label-weight", "0", "--region-attention-weight", "0"]
    bench.refuses(USAGE, *training(bench, "gkd", *off, "--teacher", bench.teacher), says=("segmentation_weight", "0"))


def test_a_teacher_that_knows_the_cases_held_out_in_another_cohort(bench, tmp_path) -> None:
    """A cohort with one case less draws other folds: what the teacher learnt from may be the student's test case."""
    copy_first(bench.phantoms, 3, tmp_path / "phantoms")
    smaller = tmp_path / "cohort"
    words = ["import", tmp_path / "phantoms", "--spacing", "6", "--workers", "1", "--out", smaller]
    assert main([str(word) for word in words]) == 0
    seen = json.loads((bench.teacher / "fold.json").read_text())["train"]
    drawn = folds(Cohort.open(smaller), 3)
    fold = next(index for index, fold in enumerate(drawn) if set(fold.test) & set(seen))
    words = training(bench, "gkd", "--teacher", bench.teacher, "--data", smaller, "--fold", fold)
    bench.refuses(MODEL, *words, says=("learnt from", "held out here"))


def test_what_a_teacher_knows_its_student_is_not_scored_on(bench, tmp_path) -> None:
    """The student's own cases are another's: one that its teacher has learnt from is still none to be scored on."""
    teacher = json.loads((bench.teacher / "fold.json").read_text())
    (known,), (validation,), (first, second) = (teacher[part] for part in ("train", "validation", "test"))
    own = {"train": [first], "validation": [validation], "test": [second]}
    (tmp_path / "split.json").write_text(json.dumps({"folds": [own]}))
    words = [*training(bench, "gkd", "--teacher", bench.teacher, "--steps", "1"), "--split", tmp_path / "split.json"]
    out = tmp_path / "runs"
    assert main([str(word) for word in (*words, "--folds", "1", "--out", out)]) == 0
    (student,) = out.iterdir()
    shutil.copytree(bench.phantoms / known, tmp_path / "one" / known)
    words = ["import", tmp_path / "one", "--spacing", "6", "--workers", "1", "--out", tmp_path / "cohort"]
    assert main([str(word) for word in words]) == 0
    bench.capsys.readouterr()
    scoring = ["evaluate", student, "--data", tmp_path / "cohort", "--out", tmp_path / "results.csv"]
    bench.refuses(USAGE, *scoring, says=("a teacher of it has learnt from 1 cases", known))
    (student / "taught_by.json").unlink()
    assert main([str(word) for word in scoring]) == 0, "it is the teacher alone that knows it"


def test_a_demo_beside_other_phantoms(bench, tmp_path) -> None:
    (tmp_path / "phantoms").mkdir()
    (tmp_path / "phantoms" / "phantoms.json").write_text(json.dumps({"cases": 5}))
    bench.refuses(USAGE, "demo", "--cases", "3", "--out", tmp_path, says=("holds 5 phantoms, 3 were asked for",))


def test_a_patch_head_that_has_learnt_nothing_teaches_nothing() -> None:
    student, teacher = find("pkdr"), find("pkdr_teacher").Settings
    assert student.misfits(student.Settings(), teacher()) == []
    (problem,) = student.misfits(student.Settings(), teacher(patch_selection_weight=0))
    assert "patch_selection_weight" in problem
    assert student.misfits(student.Settings(soft_patch_weight=0), teacher(patch_selection_weight=0)) == []
