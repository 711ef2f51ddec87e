"""The ranking's tables show order, ties and tests, and say what was ranked."""

import numpy as np
import pytest

from limbeck.anatomy import Region, Subset
from limbeck.evaluation.ranking import rank
from limbeck.evaluation.table import Row
from limbeck.report import grid as grids
from limbeck.report.comparison import compare
from limbeck.report.ranking_table import pairs, places

T1, T1CE = Subset.parse("t1"), Subset.parse("t1ce")


def rows(method, values, subset=T1CE):
    return [
        Row(f"r-{method}", method, 0, 0, f"c{place}", subset, region, "dice", float(value))
        for place, value in enumerate(values)
        for region in Region
    ]


RESULTS = [*rows("a", np.full(20, 0.9)), *rows("b", np.full(20, 0.5)), *rows("c", np.full(20, 0.5))]


def test_methods_of_equal_rank_share_a_place():
    assert places(rank(RESULTS), compare(RESULTS)).lines == (("1", "a", "1.00"), ("2", "b", "2.50"), ("2", "c", "2.50"))


def test_pairs_show_their_tests():
    found = pairs(rank(RESULTS), compare(RESULTS)).lines
    assert found[0] == ("a", "b", "1.50", "< 0.001", "< 0.001")
    assert found[2] == ("b", "c", "0.00", "1.000", "1.000")


@pytest.mark.parametrize("render", [grids.markdown, grids.html_table, grids.latex])
def test_what_was_ranked_is_said(render):
    results = [*RESULTS, *rows("a", [0.5], T1)]
    text = render(places(rank(results), compare(results)))
    for needed in (
        "20 cases",
        "(dice)",
        "sequences: t1ce",
        "3 of 63 contests",
        "10000 permutations",
        "all 3 pairs",
        "fold 0",
        "374 mm",
    ):
        assert needed in text
    assert "sliding window" in text


def test_who_was_not_ranked_is_said():
    results = [*RESULTS, *rows("few", [0.5])]
    assert any("Not ranked" in line and "few" in line for line in places(rank(results), compare(results)).caption)
