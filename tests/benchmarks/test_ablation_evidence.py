"""The ablations of the evidence: rows that methods accept, and what is compared."""

from __future__ import annotations

import itertools
from pathlib import Path

import ablations
import pytest
import yaml
from recorded import MATRIX, derived

from limbeck.anatomy import Region, Subset
from limbeck.benchmark import matrix
from limbeck.benchmark.cells import plan
from limbeck.commands.benchmark import _parse
from limbeck.evaluation.table import Row

PARTS = [(ablation, part) for ablation in ablations.ABLATIONS for part in ablation.parts]


def rows(method: str, subset: str, dice: float) -> list[Row]:
    """A method's scores of eight patients and two seeds."""
    return [
        Row(
            f"{method}-s{seed}", method, 0, seed, f"case{case}", Subset.parse(subset), region, "dice", dice + case / 100
        )
        for seed, case, region in itertools.product(range(2), range(8), Region)
    ]


@pytest.mark.parametrize(("ablation", "part"), PARTS, ids=[f"{one.method}, {part.name}" for one, part in PARTS])
def test_each_row_is_a_matrix_that_can_be_trained(ablation, part, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "row.yaml"
    path.write_text(yaml.safe_dump(derived(MATRIX, ablation.method, part.settings, ablation.subsets, 0)))
    planned = plan(matrix.read(path), _parse)
    cells = [cell for cell in planned.cells.values() if cell.method == ablation.method]
    assert len(cells) == len(ablation.subsets) and not planned.left_out
    settings = {name: value for section in cells[0].parts.values() for name, value in vars(section).items()}
    assert {name: settings[name] for name in part.settings} == dict(part.settings)


def test_the_whole_is_compared_with_each_part_and_with_a_student_alone() -> None:
    (ablation,) = (one for one in ablations.ABLATIONS if one.method == "gkd")
    parts = {part.name: rows("gkd", "flair", dice) for part, dice in zip(ablation.parts, (0.58, 0.61), strict=True)}
    parts["a student alone"] = rows("supervised", "flair", 0.5)
    text = list(ablations.page(ablation, rows("gkd", "flair", 0.6), parts))
    assert "| the whole method | 69.64 | 0.635 |  |  |  |  |" in text
    told = [line.split(" | ")[:4] for line in text[-3:]]
    assert told == [
        ["| soft labels alone", "66.92", "0.615", "+0.020"],
        ["| region attention alone", "66.88", "0.645", "-0.010"],
        ["| a student alone", "62.09", "0.535", "+0.100"],
    ]
    # The smallest p that eight signed ranks can have, times three rows.
    assert text[-1].endswith("| 8 of 8 | 0.023 |")


def test_a_paper_s_column_stands_where_a_paper_has_numbers() -> None:
    (ablation,) = (one for one in ablations.ABLATIONS if one.method == "choi")
    text = list(ablations.page(ablation, rows("choi", "flair+t1ce", 0.6), {}))
    assert text[1:] == [
        "| what is left | Dice | gain of the whole | 95 % interval | better in | p (Holm) |",
        "|---|--:|--:|---|--:|--:|",
        "| the whole method | 0.635 |  |  |  |  |",
    ]


def test_a_part_without_all_seeds_of_the_whole_is_named_and_in_no_table() -> None:
    (ablation,) = (one for one in ablations.ABLATIONS if one.method == "gkd")
    first = [row for row in rows("gkd", "flair", 0.5) if row.seed == 0]
    text = list(ablations.page(ablation, rows("gkd", "flair", 0.6), {"soft labels alone": first}))
    assert "seeds 0, 1:" in text[0] and text[-2].startswith("| the whole method")
    assert text[-1] == "\nNot trained for all of these seeds: soft labels alone."
    assert list(ablations.page(ablation, [], {"soft labels alone": first})) == ["\ngkd: not trained yet."]


def test_students_are_those_of_the_ablation_and_the_whole_method_is_the_comparison_s() -> None:
    (ablation,) = (one for one in ablations.ABLATIONS if one.method == "gkd")
    asked: list[object] = []

    class Recorded:
        def rows(self, *words: object) -> list[Row]:
            asked.append(words)
            return [*rows("gkd", "flair", 0.6), *rows("gkd", "t1", 0.1), *rows("supervised", "flair", 0.7)]

    for settings in ({}, {"soft_label_weight": 0.0}):
        found = ablations.students(Recorded(), ablation, settings, [0])  # type: ignore[arg-type]
        assert {(row.method, row.subset) for row in found} == {("gkd", Subset.parse("flair"))}
    assert asked == [("gkd", {}, (), [0]), ("gkd", {"soft_label_weight": 0.0}, ("flair",), [0])]
