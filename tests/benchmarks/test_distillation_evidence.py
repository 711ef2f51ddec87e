"""The comparison of distillation's evidence: what is paired with what, and what counts as one patient."""

from __future__ import annotations

import itertools

import distillation
import pytest
from distillation import Length

from limbeck.anatomy import Region, Subset
from limbeck.evaluation.table import Row

FLAIR, T1 = Subset.parse("flair"), Subset.parse("t1")
CASES = [f"case{index}" for index in range(8)]


def rows(method: str, dice: float, subsets=(FLAIR, T1), seeds=(0, 1)) -> list[Row]:  # type: ignore[no-untyped-def]
    """A method whose Dice is the same for all but a ramp over the patients and a step between the seeds."""
    return [
        Row(f"{method}-{subset}-s{seed}", method, 0, seed, case, subset, region, "dice", dice + index / 100 + seed / 50)
        for subset, seed, (index, case), region in itertools.product(subsets, seeds, enumerate(CASES), Region)
    ]


def told(students: dict[Length, list[Row]]) -> str:
    return "\n".join(distillation.page(students, rows("supervised", 0.7, [distillation.EVERYTHING])))


def test_seeds_are_averaged() -> None:
    found = distillation.by_patient(rows("supervised", 0.5))
    assert set(found) == {(subset, case) for subset in (FLAIR, T1) for case in CASES}
    assert found[FLAIR, "case0"] == pytest.approx(0.51)


def test_a_patient_counts_once_however_many_subsets_there_are() -> None:
    first, second = (distillation.by_patient(rows("gkd", dice)) for dice in (0.6, 0.5))
    found = distillation.difference(first, second, list(first))
    assert (found.count, found.better) == (8, 8)
    assert found.mean == pytest.approx(0.1)
    # The smallest p that eight signed ranks can have.
    assert found.p == pytest.approx(2 / 2**8)


def test_a_method_that_serves_some_subsets_is_compared_on_those() -> None:
    scores = distillation.by_patient(rows("mtcmkd", 0.6, [FLAIR]))
    alone = distillation.by_patient(rows("supervised", 0.5))
    text = list(distillation.differences({"mtcmkd": (scores, alone)}))
    assert [line.split(" | ")[1] for line in text[2:]] == ["all of them", "flair"]
    table = told({Length("supervised"): rows("supervised", 0.5), Length("mtcmkd"): rows("mtcmkd", 0.6, [FLAIR])})
    # No mean over subsets that it does not serve.
    assert "| mtcmkd | 0.645 |  |  | 0.020 |" in table


def test_the_page_compares_for_equal_steps_and_for_equal_computing() -> None:
    short = {Length(name): rows(name, dice) for name, dice in (("supervised", 0.5), ("dropout", 0.45), ("gkd", 0.55))}
    text = told({**short, Length("supervised", 2.0): rows("supervised", 0.58), Length("supervised", 0.5): short_rows()})
    steps, dropout, computing = text.split("\nAgainst ")[1:]
    assert "| gkd | all of them | +0.050 |" in steps and "| dropout | all of them | -0.050 |" in steps
    assert "| gkd | all of them | +0.100 |" in dropout and "supervised" not in dropout
    assert computing.startswith("supervised, 2 times the steps") and "| gkd | all of them | -0.030 |" in computing
    assert "| supervised, 2 times the steps | 0.625 | 0.625 | 0.625 |" in text
    assert "| supervised, 0.5 times the steps | 0.445 |" in text
    assert (
        "n = 8 patients; fold 0; seeds 0, 1." in text and "Teachers, with all four sequences: supervised 0.745" in text
    )


def test_our_own_method_is_held_against_each_of_the_others() -> None:
    text = told(
        {Length(name): rows(name, dice) for name, dice in (("supervised", 0.5), ("gkd", 0.55), ("limbeck", 0.6))}
    )
    ours = text.split("\nWhat limbeck gains over each of the others:\n")[1]
    told_of = [line.split(" | ")[:3] for line in ours.splitlines() if line.endswith(" |")][1:]
    assert told_of == [["| supervised", "all of them", "+0.100"], ["| gkd", "all of them", "+0.050"]]
    assert "gains over each" not in told({Length("supervised"): rows("supervised", 0.5)})


def short_rows() -> list[Row]:
    return rows("supervised", 0.4)


def test_what_there_is_not_is_not_told() -> None:
    one = {Length(name): rows(name, 0.5, seeds=[0]) for name in ("supervised", "dropout")}
    text = "\n".join(distillation.page(one, []))
    # No spread of one seed, no teachers.
    assert "| supervised | 0.535 | 0.535 | 0.535 |  |" in text and "Teachers" not in text


class Recorded:
    """Evidence of which some is there."""

    content = {"settings": {"steps": 100}}  # noqa: RUF012 - never written to

    def __init__(self, lacking: tuple[str, int]) -> None:
        self.lacking = lacking
        self.asked: list[object] = []

    def rows(self, method: str, settings, subsets, seeds) -> list[Row]:  # type: ignore[no-untyped-def]
        self.asked.append((method, settings, tuple(seeds)))
        teacher = rows("supervised", 0.7, [distillation.EVERYTHING], seeds) if method == "gkd" else []
        return [] if (method, *seeds) == self.lacking else [*rows(method, 0.5, seeds=seeds), *teacher]


def test_tables_are_of_seeds_that_are_whole() -> None:
    evidence = Recorded(lacking=("gkd", 1))
    lengths = [Length("supervised"), Length("gkd"), Length("supervised", 2.25)]
    students, teachers = distillation.measured(evidence, lengths, [0, 1, 2])  # type: ignore[arg-type]
    assert {row.seed for own in students.values() for row in own} == {0, 2} == {row.seed for row in teachers}
    assert all(row.subset != distillation.EVERYTHING for own in students.values() for row in own)
    assert ("supervised", {"steps": 225}, (2,)) in evidence.asked
