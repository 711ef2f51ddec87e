"""The comparison of distillation's evidence: what is paired with what, and what counts as one patient."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import yaml
from benching import loaded

from limbeck.anatomy import Region, Subset
from limbeck.evaluation.table import Row

distillation = loaded("distillation")
FLAIR, T1 = Subset.parse("flair"), Subset.parse("t1")
CASES = [f"case{index}" for index in range(8)]


def rows(method: str, dice: float, subsets=(FLAIR, T1), seeds=(0, 1)) -> list[Row]:  # type: ignore[no-untyped-def]
    """A method whose Dice is the same for all but a ramp over the patients and a step between the seeds."""
    return [
        Row(f"{method}-{subset}-s{seed}", method, 0, seed, case, subset, region, "dice", dice + index / 100 + seed / 50)
        for subset, seed, (index, case), region in itertools.product(subsets, seeds, enumerate(CASES), Region)
    ]


def test_seeds_are_averaged_and_teachers_left_out() -> None:
    everything = rows("supervised", 0.9, [Subset.parse("all")])
    found = distillation.of_method([*rows("supervised", 0.5), *everything], "supervised")
    assert set(found) == {(subset, case) for subset in (FLAIR, T1) for case in CASES}
    assert found[FLAIR, "case0"] == pytest.approx(0.51)


def test_a_patient_counts_once_however_many_subsets_there_are() -> None:
    first, second = (distillation.of_method(rows("gkd", dice), "gkd") for dice in (0.6, 0.5))
    found = distillation.difference(first, second, list(first))
    assert (found.count, found.better) == (8, 8)
    assert found.mean == pytest.approx(0.1)
    # The smallest p that eight signed ranks can have.
    assert found.p == pytest.approx(2 / 2**8)


def test_a_method_that_serves_some_subsets_is_compared_on_those() -> None:
    scores = distillation.of_method(rows("mtcmkd", 0.6, [FLAIR]), "mtcmkd")
    alone = distillation.of_method(rows("supervised", 0.5), "supervised")
    text = list(distillation.differences({"mtcmkd": (scores, alone)}))
    assert [line.split(" | ")[1] for line in text[2:]] == ["all of them", "flair"]


def test_the_page_compares_for_equal_steps_and_for_equal_computing() -> None:
    short = [*rows("supervised", 0.5), *rows("dropout", 0.45), *rows("gkd", 0.55)]
    text = "\n".join(distillation.page({1.0: short, 2.0: rows("supervised", 0.58)}))
    steps, dropout, computing = text.split("\nAgainst ")[1:]
    assert "| gkd | all of them | +0.050 |" in steps and "| dropout | all of them | -0.050 |" in steps
    assert "| gkd | all of them | +0.100 |" in dropout and "supervised" not in dropout
    assert (
        computing.startswith("students that learn alone for 2 times") and "| gkd | all of them | -0.030 |" in computing
    )
    assert "| supervised, 2 times the steps | 0.625 | 0.625 |" in text
    assert "n = 8 patients; fold 0; seeds 0, 1." in text and "in 0 of 288 regions" in text


def test_a_line_names_each_run_and_its_dice(tmp_path: Path) -> None:
    distillation.write_runs(rows("gkd", 0.5, [FLAIR]), tmp_path / "runs.csv")
    first, second = (
        f"gkd-flair-s{seed},flair,8,{value},{value},{value}" for seed, value in ((0, "0.5350"), (1, "0.5550"))
    )
    assert (tmp_path / "runs.csv").read_text().splitlines() == ["run,subset,cases,WT,TC,ET", first, second]


def test_lone_students_take_longer_and_nothing_else_changes(tmp_path: Path) -> None:
    path = distillation.derived(distillation.MATRIX, tmp_path / "new" / "longer.yaml", "supervised", {"steps": 77})
    longer, asked = (yaml.safe_load(one.read_text()) for one in (path, distillation.MATRIX))
    assert longer["method_settings"] == {"supervised": {"steps": 77}}
    assert longer["methods"] == ["supervised"] and Path(longer["recipe"]).is_file()
    same = ("phantoms", "subsets", "folds", "seeds", "metrics", "settings")
    assert {key: longer[key] for key in same} == {key: asked[key] for key in same}
