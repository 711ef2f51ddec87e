"""What went wrong, worst first: hard cases, and single predictions that failed."""

from __future__ import annotations

import html
from collections.abc import Container, Sequence
from dataclasses import dataclass
from statistics import fmean

from limbeck.anatomy import Region, Subset
from limbeck.evaluation.summary import MEAN
from limbeck.evaluation.table import RAW, Row
from limbeck.report.comparison import main_metric
from limbeck.report.heatmap import dots, dots_head
from limbeck.report.scores import Series


@dataclass(frozen=True)
class Prediction:
    """One raw prediction with what was measured of it.

    Attributes:
        run: the run's name.
        method: the method's name.
        case: the case's name.
        subset: what the prediction saw.
        dice: region -> Dice, or what stands for it; see `comparison.main_metric`.
        hd95_mm: region -> HD95 in mm, where it was measured.
        notes: region -> which side was empty, if one was.
    """

    run: str
    method: str
    case: str
    subset: Subset
    dice: dict[Region, float]
    hd95_mm: dict[Region, float]
    notes: dict[Region, str]

    @property
    def mean(self) -> float:
        """The mean Dice over the regions."""
        return fmean(self.dice.values())


def predictions(rows: Sequence[Row]) -> list[Prediction]:
    """The raw predictions, worst mean Dice first; ties by name.

    Raises:
        DataError: the rows hold no Dice.
    """
    main = main_metric(rows)
    found: dict[tuple[str, str, Subset], Prediction] = {}
    for row in rows:
        if row.processing != RAW or row.metric not in (main, "hd95_mm"):
            continue
        key = (row.run, row.case, row.subset)
        if key not in found:
            found[key] = Prediction(row.run, row.method, row.case, row.subset, {}, {}, {})
        (found[key].dice if row.metric == main else found[key].hd95_mm)[row.region] = row.value
        if row.note:
            found[key].notes[row.region] = row.note
    scored = [prediction for prediction in found.values() if prediction.dice]
    return sorted(scored, key=lambda one: (one.mean, one.case, one.run, str(one.subset)))


def worst_table(ranked: Sequence[Prediction], count: int, shown: Container[tuple[str, str, str]] = ()) -> str:
    """The worst predictions as a table; those that the viewer holds are links to it.

    Args:
        ranked: from `predictions`.
        count: how many.
        shown: (case, run, subset) of the masks that the viewer of this page holds.
    """
    heads = "".join(f'<th scope="col" class="number">{region.name}</th>' for region in Region)
    lines = []
    for place, one in enumerate(ranked[:count], 1):
        cells = "".join(_region_cell(one, region) for region in Region)
        lines.append(
            f'<tr><td class="number">{place}</td><th scope="row">{_case_link(one, shown)}</th>'
            f"<td>{html.escape(one.method)}</td><td>{dots(one.subset)}</td>{cells}</tr>"
        )
    return _table(
        f'<th scope="col" class="number">#</th><th scope="col">case</th><th scope="col">method</th>'
        f'<th scope="col">{dots_head()}</th>{heads}',
        lines,
    )


def hardest_table(series: Sequence[Series], count: int) -> str:
    """The cases with the lowest mean Dice over all raw series and subsets, with their best and worst series."""
    values: dict[str, list[tuple[float, str, Subset]]] = {}
    for one in series:
        if one.raw:
            for subset, cases in one.dice.items():
                for case, columns in cases.items():
                    values.setdefault(case, []).append((columns[MEAN], one.label, subset))
    ranked = sorted(values, key=lambda case: (fmean(value for value, _, _ in values[case]), case))
    lines = []
    for place, case in enumerate(ranked[:count], 1):
        ordered = sorted(values[case], key=lambda item: item[0])
        lines.append(
            f'<tr><td class="number">{place}</td><th scope="row">{html.escape(case)}</th>'
            f'<td class="number"><b>{fmean(value for value, _, _ in ordered):.3f}</b></td>'
            f"<td>{_extreme(*ordered[-1])}</td><td>{_extreme(*ordered[0])}</td></tr>"
        )
    return _table(
        '<th scope="col" class="number">#</th><th scope="col">case</th><th scope="col" class="number">mean</th>'
        '<th scope="col">best</th><th scope="col">worst</th>',
        lines,
    )


def _extreme(value: float, label: str, subset: Subset) -> str:
    return f"{value:.3f} <small>{html.escape(label)}, {subset}</small>"


def _region_cell(one: Prediction, region: Region) -> str:
    if region not in one.dice:
        return '<td class="number">–</td>'
    extra = [f"{one.hd95_mm[region]:.1f} mm"] if region in one.hd95_mm and region not in one.notes else []
    extra += [html.escape(one.notes[region])] if region in one.notes else []
    return f'<td class="number"><b>{one.dice[region]:.3f}</b><br><small>{"<br>".join(extra)}</small></td>'


def _case_link(one: Prediction, shown: Container[tuple[str, str, str]]) -> str:
    name = html.escape(one.case)
    if (one.case, one.run, str(one.subset)) not in shown:
        return name
    return (
        f'<a href="#viewer" data-case="{name}" data-run="{html.escape(one.run)}" data-subset="{one.subset}">{name}</a>'
    )


def _table(head: str, lines: Sequence[str]) -> str:
    return (
        '<figure class="list"><div class="scroll" tabindex="0"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table></div></figure>"
    )
