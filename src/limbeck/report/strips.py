"""Paired differences from a baseline: a dot for every case, so that a mean cannot hide who gained and who lost.

Where there are too many dots to tell apart, and for a browser to draw, a band is as high as there are cases.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from statistics import median

import numpy as np

from limbeck.evaluation.summary import MEAN
from limbeck.report.heatmap import dots, dots_head
from limbeck.report.scores import Series, differences, held_against, subsets_of

_WIDTH, _HEIGHT = 200, 26
_LOST, _GAINED = "#b35806", "#542788"
# Of one strip; a page has a strip for each method and subset.
MOST_DOTS = 200
# Steps of a band on either side of zero, and the height in px that a single case has at least.
_STEPS, _LEAST = 20, 1.0


def paired_strips(series: Sequence[Series], bound: Series) -> str:
    """A table of strips, subsets down and series across; nothing if no series shares a case with the bound.

    Args:
        series: from `scores.collect`; those of `scores.held_against` are shown.
        bound: what is subtracted, case by case.
    """
    others = held_against(bound, series)
    if not others:
        return ""
    subsets = [subset for subset in subsets_of(others) if bound.dice.get(subset)]
    found = {(one.label, subset): differences(one, bound, subset, MEAN) for one in others for subset in subsets}
    reach = max((abs(value) for values in found.values() for value in values), default=0.0) or 1.0
    heads = "".join(f'<th scope="col">{html.escape(one.label)}</th>' for one in others)
    lines = []
    for subset in subsets:
        cells = "".join(_cell(found[one.label, subset], reach) for one in others)
        lines.append(f'<tr><th scope="row">{dots(subset)}</th>{cells}</tr>')
    scale = f"<td>{_scale(reach)}</td>" * len(others)
    return (
        '<figure class="strips"><div class="scroll" tabindex="0"><table>'
        f'<thead><tr><th scope="col">{dots_head()}</th>{heads}</tr></thead>'
        f'<tbody>{"".join(lines)}<tr class="scale"><th></th>{scale}</tr></tbody></table></div></figure>'
    )


def _cell(values: Sequence[float], reach: float) -> str:
    if not values:
        return '<td class="none">–</td>'
    marks = _band(values, reach) if len(values) > MOST_DOTS else _dots(values, reach)
    middle = median(values)
    better = sum(value > 0 for value in values)
    told = f"median {middle:+.3f}; better in {better} of {len(values)} cases"
    return (
        f'<td><div><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{told}"><title>{told}</title>'
        f'<line x1="{_WIDTH / 2}" y1="0" x2="{_WIDTH / 2}" y2="{_HEIGHT}" class="zero"/><g class="cases">{marks}</g>'
        f'<line x1="{_place(middle, reach):.1f}" y1="2" x2="{_place(middle, reach):.1f}" y2="{_HEIGHT - 2}" '
        f'class="median"/></svg><small>{_signed(middle)} · {better}/{len(values)}</small></div></td>'
    )


def _dots(values: Sequence[float], reach: float) -> str:
    return "".join(
        f'<circle cx="{_place(value, reach):.1f}" cy="{_HEIGHT / 2 + _jitter(number):.1f}" r="2.6" '
        f'fill="{_GAINED if value > 0 else _LOST}"/>'
        for number, value in enumerate(values)
    )


def _band(values: Sequence[float], reach: float) -> str:
    """Bars around the middle line, in each step as high as there are cases; equal scores lie with the losses."""
    # Zero is a border, on which values count with those below it.
    counts, borders = np.histogram(np.negative(values), 2 * _STEPS, (-reach, reach))
    highest, drawn = counts.max(), {_LOST: "", _GAINED: ""}
    for count, border in zip(counts, borders[:-1], strict=True):
        if count:
            left, right = (_place(-value, reach) for value in (border + reach / _STEPS, border))
            half = max(count / highest * (_HEIGHT - 4), _LEAST) / 2
            bar = f"M{left:.1f} {_HEIGHT / 2 - half:.1f}h{right - left:.1f}v{2 * half:.1f}h{left - right:.1f}z"
            drawn[_GAINED if border < -reach / _STEPS / 2 else _LOST] += bar
    return "".join(f'<path d="{bars}" fill="{colour}"/>' for colour, bars in drawn.items() if bars)


def _signed(value: float) -> str:
    """With a minus as long as the plus, and no sign on a zero."""
    return f"{value:+.3f}".replace("-", "−") if abs(value) >= 0.0005 else "0.000"


def _place(value: float, reach: float) -> float:
    return _WIDTH / 2 + value / reach * (_WIDTH / 2 - 5)


def _jitter(number: int) -> float:
    """A spread that does not repeat soon and is the same each time: steps of the golden ratio."""
    return ((number * 0.618034) % 1.0 - 0.5) * (_HEIGHT - 10)


def _scale(reach: float) -> str:
    ends = f"<span>−{reach:.2f}</span><span>0</span><span>+{reach:.2f}</span>"
    return f'<div><div class="ends">{ends}</div><small></small></div>'
