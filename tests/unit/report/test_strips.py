"""Paired strips: a dot for each common case, on its side of zero, with the median and the count beside it."""

import re
from dataclasses import replace

import pytest
from matplotlib.colors import to_rgb
from measured import TWO, rows

from limbeck.report.comparison import compare
from limbeck.report.scores import bounds, collect
from limbeck.report.strips import MOST_DOTS, paired_strips
from limbeck.report.versus import versus


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


def test_equal_means_over_seeds_are_no_gain():
    values = {("supervised", "flair"): {"a": 0.7}, ("gkd", "flair"): {"a": 0.7}}
    alone, ours = (rows({key: cases}) for key, cases in values.items())
    # Their mean is above 0.7 by rounding.
    seeds = [
        replace(row, run=f"gkd-{seed}", seed=seed, value=value)
        for seed, value in enumerate((0.65, 0.7, 0.75))
        for row in ours
    ]
    comparison = compare([*alone, *seeds])
    found = collect(comparison)
    (tested,) = versus(comparison).differences
    assert (tested.better, tested.worse) == (0, 0)
    assert "0.000 · 0/1" in paired_strips(found, bounds(found)[0])


def test_a_step_meets_the_bound_by_the_same_step():
    values = {("supervised", "flair"): {"a": 0.5}, ("gkd", "flair"): {"a": 0.5}}
    processed = [replace(row, processing="et>=120mm3", value=0.75) for row in rows(values)]
    found = collect(compare([*rows(values), *processed]))
    for bound, name in zip(bounds(found), ("gkd", "gkd, et"), strict=True):
        text = paired_strips(found, bound)
        assert re.findall('<th scope="col">(gkd.*?|sup.*?)</th>', text) == [name]
        assert "0.000 · 0/1" in text


def test_more_cases_than_can_be_told_apart_become_a_band():
    # Of 240 cases, 120 are equal, 80 gain 0.25 and 40 lose 0.125; the band is highest where most are, and as large as
    # for ten times as many.
    def text(times: int) -> str:
        gains = [0.0] * 12 * times + [0.25] * 8 * times + [-0.125] * 4 * times
        alone = {f"{number:05d}": 0.5 for number in range(len(gains))}
        ours = {name: 0.5 + gain for name, gain in zip(alone, gains, strict=True)}
        return strips({("supervised", "flair"): alone, ("gkd", "flair"): ours})

    assert text(8).count("<circle") == 192 <= MOST_DOTS
    band = text(10)
    assert "<circle" not in band
    bars = {
        float(left): (float(height), fill)
        for path, fill in re.findall(r'<path d="(.*?)" fill="(#\w+)"', band)
        for left, height in re.findall(r"M([\d.]+) [\d.]+h[\d.]+v([\d.]+)", path)
    }
    lost, equal, gained = (bars[left] for left in sorted(bars))
    assert equal[0] == 22
    assert gained[0] == pytest.approx(22 * 80 / 120, abs=0.1)
    assert lost[0] == pytest.approx(22 * 40 / 120, abs=0.1)
    purple = [blue > red for red, _, blue in (to_rgb(fill) for _, fill in (lost, equal, gained))]
    assert purple == [False, False, True]
    # Up to zero, and to the edge where the largest difference is.
    assert sorted(bars) == pytest.approx([52.5, 95.25, 190.25], abs=4.8)
    assert len(text(100)) < len(band) + 10
    assert "80/240" in band


def test_names_arrive_as_text():
    text = strips({("supervised", "flair"): {"a": 0.5}, ("<b>x", "flair"): {"a": 0.5}})
    assert "<b>x" not in text
    assert "&lt;b&gt;x" in text
