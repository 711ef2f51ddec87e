from __future__ import annotations

from pathlib import Path

import pytest
from unit.benchmark.making import planned

from limbeck.anatomy import Subset
from limbeck.errors import UsageError

ALL = "flair+t1+t1ce+t2"


def test_a_teacher_is_a_cell_of_its_own_before_its_students_and_shared_by_those_of_its_fold_and_seed(tmp_path) -> None:
    plan = planned(tmp_path, "methods: [gkd]\nsubsets: [flair, t1]\nfolds: [0, 1]\nseeds: [0, 4]")
    names = list(plan.cells)
    teachers = {f"supervised-{ALL}-f{fold}-s{seed}" for fold in (0, 1) for seed in (0, 4)}
    assert set(names[:4]) == teachers and len(names) == 4 + 8
    for name, cell in plan.cells.items():
        if cell.method == "gkd":
            assert cell.teacher == f"supervised-{ALL}-{name.partition('-')[2].partition('-')[2]}"


def test_a_teacher_that_is_also_compared_is_trained_once(tmp_path) -> None:
    plan = planned(tmp_path, f"methods: [supervised, gkd]\nsubsets: [flair, {ALL}]")
    assert sorted(plan.cells) == sorted(
        [f"supervised-{ALL}-f0-s0", "supervised-flair-f0-s0", f"gkd-{ALL}-f0-s0", "gkd-flair-f0-s0"]
    )


def test_a_generalist_is_one_run_that_is_scored_on_every_subset(tmp_path) -> None:
    plan = planned(tmp_path, "methods: [dropout]\nsubsets: [flair, t1]")
    (cell,) = plan.cells.values()
    assert (cell.name, cell.subset, cell.scored) == (
        "dropout-any-f0-s0",
        None,
        (Subset.parse("flair"), Subset.parse("t1")),
    )


def test_subsets_that_a_method_cannot_serve_are_left_out_with_a_line(tmp_path) -> None:
    settings = "{folds: 3, steps: 2, width: 8, patch: [16, 16, 16]}"
    plan = planned(tmp_path, "methods: [mtcmkd]\nsubsets: [t1ce, flair+t1, all]", settings)
    assert list(plan.cells) == ["mtcmkd-t1ce-f0-s0"]
    (line,) = plan.left_out
    assert "2 of the subsets for mtcmkd" in line and "one sequence" in line


def test_a_matrix_without_a_cell_is_refused(tmp_path) -> None:
    with pytest.raises(UsageError, match="no cell is left"):
        planned(tmp_path, "methods: [mtcmkd]\nsubsets: [flair+t1]")


@pytest.mark.parametrize(
    ("text", "settings", "says"),
    [
        ("methods: [supervised]", "{stepz: 3}", "did you mean 'steps'?"),
        ("methods: [supervised]", "{steps: many}", "whole number"),
        ("methods: [supervised]", "{patch: [16, 16, 20]}", "multiples of 8"),
        ("methods: [supervised]\nfolds: [0, 3]", "{folds: 3}", "fold is 3: expected 0 to 2"),
        ("methods: [supervised]", "{data: cohort}", "leave it out"),
        ("methods: [supervised, gkd]", "{temperature: 2}", "'temperature' of supervised"),
        (
            "methods: [gkd]\nmethod_settings: {gkd: {width: 16}}",
            "{width: 8, patch: [16, 16, 16]}",
            "gkd cannot learn from",
        ),
    ],
)
def test_what_could_not_be_trained_is_refused_before_any_work(text, settings, says, tmp_path) -> None:
    with pytest.raises(UsageError) as caught:
        planned(tmp_path, text, settings)
    assert says in str(caught.value)


def test_settings_of_a_method_are_its_own(tmp_path) -> None:
    plan = planned(tmp_path, "methods: [supervised, gkd]\nsubsets: [flair]\nmethod_settings: {gkd: {temperature: 3}}")
    parts = plan.cells["gkd-flair-f0-s0"].parts
    assert parts["method_settings"].temperature == 3
    assert (parts["training"].steps, parts["run"].folds) == (2, 3)
    assert plan.cells["gkd-flair-f0-s0"].experiment(Path("teacher")).to_json()["temperature"] == 3
