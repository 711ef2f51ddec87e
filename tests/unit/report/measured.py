"""Results for the tests of the report: known numbers, by method, subset and case."""

from __future__ import annotations

from collections.abc import Mapping

from limbeck.anatomy import Region, Subset
from limbeck.evaluation.table import Row

# Case -> Dice, the same in each region.
Values = Mapping[str, float]


def rows(values: Mapping[tuple[str, str], Values], **more: object) -> list[Row]:
    """Rows of runs called `<method>-<subset>`."""
    return [
        Row(f"{method}-{subset}", method, 0, 0, case, Subset.parse(subset), region, "dice", dice, **more)
        for (method, subset), cases in values.items()
        for case, dice in cases.items()
        for region in Region
    ]


TWO = {
    ("gkd", "flair"): {"a": 0.75, "b": 0.5, "c": 0.625},
    ("gkd", "t1ce"): {"a": 0.875, "b": 0.875},
    ("supervised", "flair"): {"a": 0.5, "b": 0.625, "c": 0.375},
    ("supervised", "t1ce"): {"a": 0.75, "b": 0.625},
    ("dropout", "flair"): {"a": 0.25, "b": 0.25, "c": 0.25},
}
