"""Paired strips: a dot for each common case, on its side of zero, with the median and the count beside it."""

import re

from matplotlib.colors import to_rgb
from measured import TWO, rows

from limbeck.report.comparison import compare
from limbeck.report.scores import bounds, collect
from limbeck.report.strips import paired_strips


def strips(values) -> str:
    found = collect(compare(rows(values)))
    return paired_strips(found, bounds(found)[0])


def cells(text: str) -> list[str]:
    return re.findall(r"<td>.*?</td>", text)


def test_a_dot_for_each_case_on_its_side():
    # gkd from flair: +0.25, -0.125, +0.25 against supervised.
    flair = next(cell for cell in cells(strips(TWO)) if "2/3" in cell)
    dots = [(float(x), fill) for x, fill in re.findall(r'cx="([\d.]+)".*?fill="(#\w+)"', flair)]
    assert sorted(x > 100 for x, _ in dots) == [False, True, True]
    assert len({fill for x, fill in dots if x > 100}) == 1
    assert {fill for x, fill in dots if x > 100}.isdisjoint(fill for x, fill in dots if x < 100)
    # As in the maps: purple for a gain, orange for a loss.
    for x, fill in dots:
        red, _, blue = to_rgb(fill)
        assert (blue > red) == (x > 100)
    assert "+0.250 · 2/3" in flair
    assert "better in 2 of 3 cases" in flair


def test_all_strips_have_one_scale():
    places = [float(x) for x in re.findall(r'cx="([\d.]+)"', strips(TWO))]
    # The largest difference, dropout's -0.375 in b, reaches the edge; no other does.
    assert min(places) == 5
    assert max(places) < 195
    assert "−0.38" in strips(TWO)


def test_nothing_to_pair_gives_nothing():
    assert strips({("supervised", "flair"): {"a": 0.5}, ("gkd", "flair"): {"b": 0.5}}) == ""
    assert strips({("supervised", "flair"): {"a": 0.5}}) == ""


def test_equal_scores_are_drawn_at_zero():
    text = strips({("supervised", "flair"): {"a": 0.5}, ("gkd", "flair"): {"a": 0.5}})
    assert re.findall(r'cx="([\d.]+)"', text) == ["100.0"]
    assert "0.000 · 0/1" in text


def test_names_arrive_as_text():
    text = strips({("supervised", "flair"): {"a": 0.5}, ("<b>x", "flair"): {"a": 0.5}})
    assert "<b>x" not in text
    assert "&lt;b&gt;x" in text
