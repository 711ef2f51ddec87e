"""Maps: the right number in the right cell, baselines first, a colour that goes with the number, text that is read."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from matplotlib.colors import to_rgb
from measured import TWO, rows

from limbeck.anatomy import Subset
from limbeck.report.comparison import compare
from limbeck.report.heatmap import dice_map, dots, gain_map
from limbeck.report.scores import bounds, collect

FLAIR = Subset.parse("flair")


class Maps(HTMLParser):
    """The cells' texts and backgrounds of each panel, line by line, and the names of its columns."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.panels: list[list[list[str]]] = []
        self.colours: list[str] = []
        self.heads: list[list[str]] = []
        self.at = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        about = dict(attrs)
        self.at = about.get("class", tag) if tag in ("td", "span") else tag if tag == "i" else self.at
        if tag == "table":
            self.panels.append([])
            self.heads.append([])
        elif tag == "tr":
            self.panels[-1].append([])
        elif tag == "td":
            self.panels[-1][-1].append("")
            self.colours += re.findall("background:(#[0-9a-f]+)", about.get("style", ""))

    def handle_data(self, data):
        if self.at == "upright":
            self.heads[-1].append(data)
        elif self.at in ("td", "none"):
            self.panels[-1][-1][-1] += data

    def handle_endtag(self, tag):
        self.at = ""


def series(values=TWO, more=()):
    return collect(compare([*rows(values), *more]))


def test_cells_hold_the_means_and_baselines_come_first():
    maps = Maps(dice_map(series()))
    assert maps.heads[0] == ["supervised", "dropout", "gkd"]
    # No mean over subsets: that needs two that all have.
    head, flair, t1ce = maps.panels[0]
    assert head == []
    assert flair == ["0.50", "0.25", "0.62"]
    assert t1ce == ["0.69", "–", "0.88"]
    assert len(maps.panels) == 4


def test_a_mean_over_subsets_is_over_those_that_all_have():
    both = {key: cases for key, cases in TWO.items() if key[0] != "dropout"}
    extra = {("gkd", "t2"): {"a": 0.0, "b": 0.0}}
    maps = Maps(dice_map(series({**both, **extra})))
    assert maps.panels[0][-1] == ["0.59", "0.75"]


def test_gain_is_paired_over_common_cases():
    values = {**TWO, ("gkd", "flair"): {"a": 0.75, "b": 0.5, "z": 1.0}}
    found = series(values)
    maps = Maps(gain_map(found, bounds(found)[0]))
    assert maps.heads[0] == ["dropout", "gkd"]
    _, flair, t1ce = maps.panels[0][:3]
    # Case c and case z are not common: (0.25 - 0.125) / 2.
    assert flair == ["−0.25", "+0.06"]
    assert t1ce == ["–", "+0.19"]


def test_a_star_stands_where_it_is_due_and_in_the_mean_alone():
    found = series()
    maps = Maps(gain_map(found, bounds(found)[0], stars={("gkd", FLAIR)}))
    assert [panel[1][1] for panel in maps.panels] == ["+0.12*", "+0.12", "+0.12", "+0.12"]


def test_darker_is_better_and_colour_sides_are_gain_and_loss():
    found = series()
    shades = [sum(to_rgb(colour)) for colour in Maps(dice_map(found)).colours[:3]]
    assert shades[1] > shades[0] > shades[2]
    loss, gain = (to_rgb(colour) for colour in Maps(gain_map(found, bounds(found)[0])).colours[:2])
    assert loss[0] > loss[2]
    assert gain[2] > gain[0]


def test_ink_stands_out_from_every_colour():
    values = {("gkd", str(subset)): {"a": place / 14} for place, subset in enumerate(Subset.every())}
    text = dice_map(series(values))
    for ground, ink in re.findall("background:(#[0-9a-f]+);color:(#[0-9a-f]+)", text):
        lights = []
        for colour in (ground, ink):
            linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(colour)]
            lights.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
        assert (max(lights) + 0.05) / (min(lights) + 0.05) > 3.9, (ground, ink)


def test_without_a_common_case_there_is_no_map():
    found = series({("supervised", "flair"): {"a": 0.5}, ("gkd", "flair"): {"b": 0.5}})
    assert gain_map(found, bounds(found)[0]) == ""


def test_a_processed_series_stands_beside_the_raw_one():
    processed = [replace(row, processing="et>=120mm3", value=0.25) for row in rows({("gkd", "flair"): {"a": 0.5}})]
    maps = Maps(dice_map(series({("gkd", "flair"): {"a": 0.5}}, processed)))
    assert maps.heads[0] == ["gkd", "gkd, et"]
    assert maps.panels[0][1] == ["0.50", "0.25"]


def test_a_gain_is_over_the_bound_by_the_same_step():
    processed = [replace(row, processing="et>=120mm3", value=row.value + 0.125) for row in rows(TWO)]
    found = series(TWO, [row for row in processed if row.method != "dropout"])
    assert [one.label for one in bounds(found)] == ["supervised", "supervised, et", "dropout"]
    raw, after, _ = (Maps(gain_map(found, bound)) for bound in bounds(found))
    assert raw.heads[0] == ["dropout", "gkd"]
    assert after.heads[0] == ["gkd, et"]
    for maps in (raw, after):
        assert [line[-1] for line in maps.panels[0][1:3]] == ["+0.12", "+0.19"]


def test_names_arrive_as_text():
    hostile = '<img src=x onerror=alert(1)>"'
    text = dice_map(series({(hostile, "flair"): {"a": 0.5}}))
    assert "<img" not in text
    assert hostile in Maps(text).heads[0]


@pytest.mark.parametrize(("subset", "marks"), [("flair", "●○○○"), ("t1+t2", "○●○●"), ("all", "●●●●")])
def test_dots_are_filled_for_what_is_there_and_named_for_who_cannot_see(subset, marks):
    text = dots(Subset.parse(subset))
    assert "".join(re.findall("[●○]", text)) == marks
    assert f">{Subset.parse(subset)}<" in text
