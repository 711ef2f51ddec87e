"""Maps of Dice by subset and method, as HTML tables: numbers that can be read and copied, colours that show the shape.

Subsets run down, as in the papers' tables, so that a map of all 15 fits a narrow screen. The four regions are four
maps, side by side where there is room and behind tabs where there is not. Colours run along one ramp of lightness
(Dice) or from orange over white to purple (gain), which readers with any common colour blindness tell apart.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Collection, Sequence
from statistics import fmean
from typing import TypeAlias

import matplotlib
from matplotlib.colors import Colormap, to_hex

from limbeck.anatomy import Modality, Subset
from limbeck.report.scores import ORDER, TITLES, Series, differences, held_against, subsets_of

_SEQUENTIAL, _DIVERGING = "YlGnBu", "PuOr"
# The ends of both ramps are too dark or too pale to tell steps apart.
_DICE_RANGE = (0.0, 0.88)
_GAIN_RANGE = (0.12, 0.88)
# Value of a series, subset and column, and from how many cases; None where nothing was measured.
Measure: TypeAlias = Callable[[Series, Subset, str], tuple[float, int] | None]
# Label of a series and subset: cells of the first map that carry a star.
Stars: TypeAlias = Collection[tuple[str, Subset]]


def dice_map(series: Sequence[Series], name: str = "dice") -> str:
    """The mean Dice of every series and subset, one table for each region.

    Args:
        series: from `scores.collect`.
        name: distinguishes the tabs from those of other maps in the page.
    """

    def measure(one: Series, subset: Subset, column: str) -> tuple[float, int] | None:
        value = one.mean(subset, column)
        return None if value is None else (value, len(one.dice[subset]))

    values = [found[0] for found in _everything(series, measure)]
    low = math.floor(min(values, default=0.0) * 10) / 10
    high = max(math.ceil(max(values, default=1.0) * 10) / 10, low + 0.1)
    ramp = _Ramp(_SEQUENTIAL, low, high, *_DICE_RANGE)
    return _maps(series, subsets_of(series), measure, ramp, name, "{:.2f}")


def gain_map(series: Sequence[Series], bound: Series, name: str = "gain", stars: Stars = ()) -> str:
    """The mean difference from a baseline over the cases that both were scored on, one table for each region.

    Args:
        series: from `scores.collect`; those of `scores.held_against` are shown.
        bound: what is subtracted.
        name: distinguishes the tabs from those of other maps in the page.
        stars: label of a series and subset: cells of the mean over regions that carry a star.
    """

    def measure(one: Series, subset: Subset, column: str) -> tuple[float, int] | None:
        found = differences(one, bound, subset, column)
        return (fmean(found), len(found)) if found else None

    others = held_against(bound, series)
    if not others:
        return ""
    largest = max(abs(value) for value, _ in _everything(others, measure))
    limit = max(math.ceil(largest * 20) / 20, 0.05)
    # The ramp's own order is orange low, purple high.
    ramp = _Ramp(_DIVERGING, -limit, limit, *_GAIN_RANGE)
    shared = tuple(subset for subset in subsets_of(others) if bound.dice.get(subset))
    return _maps(others, shared, measure, ramp, name, "{:+.2f}", stars)


def dots(subset: Subset) -> str:
    """Four dots in the papers' manner, filled for what is there, with the name for those who cannot see them."""
    marks = "".join(f"<i>{'●' if modality in subset else '○'}</i>" for modality in Modality)
    return f'<span class="dots" aria-hidden="true">{marks}</span><span class="unseen">{subset}</span>'


def dots_head() -> str:
    """The heading over the dots: the four sequences, upright."""
    names = "".join(f"<i>{modality.title}</i>" for modality in Modality)
    return f'<span class="dots names" aria-hidden="true">{names}</span><span class="unseen">sequences</span>'


class _Ramp:
    """Numbers to colours."""

    def __init__(self, name: str, low: float, high: float, start: float, stop: float) -> None:
        self.low, self.high = low, high
        self._map: Colormap = matplotlib.colormaps[name]
        self._start, self._stop = start, stop

    def style(self, value: float) -> str:
        """Background, and black or white ink, whichever stands out."""
        red, green, blue, _ = self._colour((value - self.low) / (self.high - self.low))
        channels = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in (red, green, blue)]
        light = 0.2126 * channels[0] + 0.7152 * channels[1] + 0.0722 * channels[2]
        # Where black and white contrast equally (WCAG's relative luminance), moved a little, since thin white strokes
        # look paler than they are.
        ink = "#000" if light > 0.21 else "#fff"
        return f"background:{to_hex((red, green, blue))};color:{ink}"

    def legend(self, pattern: str) -> str:
        """A bar with its ends and its middle."""
        stops = ",".join(to_hex(self._colour(step / 8)[:3]) for step in range(9))
        middle = (self.low + self.high) / 2
        ends = "".join(f"<span>{_shown(value, pattern)}</span>" for value in (self.low, middle, self.high))
        return f'<div class="ramp"><div style="background:linear-gradient(90deg,{stops})"></div><p>{ends}</p></div>'

    def _colour(self, place: float) -> tuple[float, float, float, float]:
        inside = min(max(place, 0.0), 1.0)
        red, green, blue, alpha = self._map(self._start + inside * (self._stop - self._start))
        return float(red), float(green), float(blue), float(alpha)


def _everything(series: Sequence[Series], measure: Measure) -> list[tuple[float, int]]:
    found = (measure(one, subset, column) for one in series for subset in one.dice for column in ORDER)
    return [value for value in found if value is not None]


def _maps(
    series: Sequence[Series],
    subsets: Sequence[Subset],
    measure: Measure,
    ramp: _Ramp,
    name: str,
    pattern: str,
    stars: Stars = (),
) -> str:
    tabs, panels = [], []
    for number, column in enumerate(ORDER):
        checked = " checked" if number == 0 else ""
        tabs.append(
            f'<input type="radio" name="{name}" id="{name}-{column}"{checked}>'
            f'<label for="{name}-{column}">{"mean" if number == 0 else column}</label>'
        )
        panels.append(_panel(series, subsets, measure, ramp, column, pattern, stars if number == 0 else ()))
    return (
        f'<figure class="maps" id="map-{name}">{"".join(tabs)}<div class="panels">{"".join(panels)}</div>'
        f"{ramp.legend(pattern)}</figure>"
    )


def _panel(
    series: Sequence[Series],
    subsets: Sequence[Subset],
    measure: Measure,
    ramp: _Ramp,
    column: str,
    pattern: str,
    stars: Stars,
) -> str:
    heads = "".join(f'<th scope="col"><span class="upright">{html.escape(one.label)}</span></th>' for one in series)
    lines = []
    for subset in subsets:
        cells = "".join(
            _cell(one, subset, measure(one, subset, column), ramp, pattern, "*" if (one.label, subset) in stars else "")
            for one in series
        )
        lines.append(f'<tr><th scope="row">{dots(subset)}</th>{cells}</tr>')
    # Only over subsets that every series has: others' means cannot be compared.
    shared = [subset for subset in subsets if all(measure(one, subset, column) for one in series)]
    if len(shared) > 1:
        lines.append(_mean_line(series, shared, measure, ramp, column, pattern))
    return (
        f'<div class="panel"><h3>{TITLES[column]}</h3><div class="scroll" tabindex="0"><table class="map">'
        f'<thead><tr><th scope="col">{dots_head()}</th>{heads}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div></div>"
    )


def _mean_line(
    series: Sequence[Series], subsets: Sequence[Subset], measure: Measure, ramp: _Ramp, column: str, pattern: str
) -> str:
    cells = []
    for one in series:
        values = [found[0] for subset in subsets if (found := measure(one, subset, column)) is not None]
        mean = fmean(values)
        cells.append(f'<td style="{ramp.style(mean)}">{_shown(mean, pattern)}</td>')
    return f'<tr class="total"><th scope="row">mean</th>{"".join(cells)}</tr>'


def _cell(one: Series, subset: Subset, found: tuple[float, int] | None, ramp: _Ramp, pattern: str, star: str) -> str:
    if found is None:
        return '<td class="none">–</td>'
    value, count = found
    told = html.escape(f"{one.label}, {subset}: {pattern.replace('2f', '3f').format(value)}, n = {count}")
    return f'<td style="{ramp.style(value)}" title="{told}">{_shown(value, pattern)}{star}</td>'


def _shown(value: float, pattern: str) -> str:
    """With a minus as long as the plus, and no sign on a zero."""
    text = pattern.format(value)
    return "0.00" if text in ("+0.00", "-0.00") else text.replace("-", "−")
