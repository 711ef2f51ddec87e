"""The page of results: from rows, and from run folders and scans where they are at hand, to one HTML file."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

from limbeck.anatomy import Subset
from limbeck.errors import DataError
from limbeck.evaluation.comparable import Origin, split
from limbeck.evaluation.published import of
from limbeck.evaluation.ranking import rank
from limbeck.evaluation.summary import MEAN
from limbeck.evaluation.table import Row, definition
from limbeck.report import failures, figures, heatmap, page, paper_tables, provenance, ranking_table, viewer
from limbeck.report.comparison import DO_NOT_COMPARE, Comparison, Line, compare, matched
from limbeck.report.grid import html_table as html_of
from limbeck.report.page import Picture, Section
from limbeck.report.provenance import RunRecord
from limbeck.report.scores import LOWER_BOUND, Series, bounds, collect, subsets_of
from limbeck.report.strips import MOST_DOTS, paired_strips
from limbeck.report.tables import html_table
from limbeck.report.versus import Versus, versus
from limbeck.report.versus import grid as versus_grid
from limbeck.report.viewer import Scene

# A figure of boxes for more lines than this says nothing, and a table of more stands behind a fold.
_FEW = 8
_WORST, _HARDEST = 15, 8
_DECIDED = 0.05


def write_results(
    path: Path,
    rows: Sequence[Row],
    *,
    title: str = "Limbeck results",
    records: Sequence[RunRecord] = (),
    scenes: Sequence[Scene] = (),
    patients: Mapping[str, str] | None = None,
    commands: Sequence[str] = (),
) -> Path:
    """Write the page.

    Rows of several protocols or cohorts stand in chapters of their own, and are never compared.

    Args:
        path: the HTML file to write.
        rows: what was measured.
        title: the page's heading.
        records: the runs' own records, for settings and training curves.
        scenes: cases for the viewer.
        patients: case -> patient; without it each case is a patient of its own.
        commands: the commands that score the runs and make the page again.

    Returns:
        The path.

    Raises:
        DataError: a case lacks a region, or a log or a mask is damaged.
        UsageError: two runs stand for one line.
    """
    chapters = split(rows)
    with TemporaryDirectory(prefix="limbeck-report-") as folder:
        sections = [Section("At a glance", fragments=[provenance.listing(provenance.facts(rows))])]
        found = []
        for number, (origin, own) in enumerate(chapters.items()):
            name = f", {_chapter(origin, list(chapters))}" if len(chapters) > 1 else ""
            comparison = compare(own, patients=patients)
            sections += _chapter_sections(own, comparison, Path(folder) / str(number), name, number)
            found.append((own, comparison, name))
        if scenes:
            sections.append(_viewer(scenes))
        shown = {(scene.case, mask.run, mask.subset) for scene in scenes for mask in scene.masks}
        sections += [_failures(own, comparison, shown, name) for own, comparison, name in found]
        if records:
            sections += _runs(records, Path(folder))
        return page.write(
            path,
            title,
            sections,
            introduction=[_introduction(rows, len(chapters))],
            commands=commands,
            scripts=viewer.scripts() if scenes else (),
        )


def _introduction(rows: Sequence[Row], chapters: int) -> str:
    methods, cases = sorted({row.method for row in rows}), provenance.count_cases(rows)
    subsets = len({row.subset for row in rows})
    told = (
        f"{', '.join(methods[:-1]) + ' and ' if methods[1:] else ''}{methods[-1]} on {cases} held-out "
        f"{'cases' if cases > 1 else 'case'}, from {subsets} {'subsets' if subsets > 1 else 'subset'} of the four "
        "sequences."
    )
    return told + (
        " The results come from several protocols or cohorts, which stand in chapters of their own."
        if chapters > 1
        else ""
    )


def _chapter(origin: Origin, others: Sequence[Origin]) -> str:
    """What tells a chapter from the others."""
    if len({other.data for other in others}) == 1:
        return origin.protocol
    return f"{origin.protocol}, {origin.cohort}"


def _chapter_sections(
    rows: Sequence[Row], comparison: Comparison, folder: Path, name: str, number: int
) -> list[Section]:
    series, measure = collect(comparison), comparison.measure
    found = versus(comparison)
    sections = [
        Section(
            f"{measure.capitalize()} by sequences and method{name}",
            [
                "Filled dots are the sequences that a prediction saw; a cell is the mean over cases of their "
                f"{measure}.",
                *(_highest(series) if matched(comparison.lines) else [DO_NOT_COMPARE]),
            ],
            fragments=[heatmap.dice_map(series, f"dice-{number}")],
            notes=[definition(comparison.lines[0].main), *_sizes(comparison.lines)],
        )
    ]
    for place, bound in enumerate(bounds(series)):
        if gains := heatmap.gain_map(series, bound, f"gain-{place}-{number}", _decided(bound, found)):
            sections.append(_gain(gains, bound, found, measure, name))
    for bound in bounds(series):
        if bound.method == LOWER_BOUND and (strips := paired_strips(series, bound)):
            sections.append(_strips(strips, bound, measure, name))
    sections += _tests(found, name)
    sections += _ranking(rows, comparison, name)
    sections.append(_table(comparison, folder, name))
    sections += _papers(comparison, name)
    return sections


def _sizes(lines: Sequence[Line]) -> list[str]:
    """On how many cases each row of the map stands, where not all stand on the same."""
    if len({line.cases for line in lines}) == 1:
        return []
    sizes = {subset: {len(line.cases) for line in lines if line.subset == subset} for subset in Subset.every()}
    told = "; ".join(f"{subset} {' or '.join(map(str, sorted(found)))}" for subset, found in sizes.items() if found)
    advice = "Cases differ between sequences: compare within a row, not between rows. " if matched(lines) else ""
    return [f"{advice}n: {told}."]


def _highest(series: Sequence[Series]) -> list[str]:
    """Which series has the highest mean over the subsets that all have, if there are several of both."""
    shared = [subset for subset in subsets_of(series) if all(one.dice.get(subset) for one in series)]
    if len(series) < 2 or len(shared) < 2:
        return []
    means = {one.label: fmean(one.mean(subset, MEAN) or 0.0 for subset in shared) for one in series}
    best = max(means, key=lambda label: means[label])
    others = ", ".join(f"{label} {mean:.3f}" for label, mean in means.items() if label != best)
    return [f"Over the {len(shared)} subsets that all have, {best} has the highest mean, {means[best]:.3f} ({others})."]


def _decided(bound: Series, found: Versus) -> set[tuple[str, Subset]]:
    """Label and subset of what certainly differs from a bound; a pair is tested once, whichever is the rival."""
    decided = set()
    for each in found.differences:
        sides = {each.line.series, each.rival.series}
        if each.p_holm < _DECIDED and bound.label in sides:
            decided |= {(side, each.subset) for side in sides - {bound.label}}
    return decided


def _gain(gains: str, bound: Series, found: Versus, measure: str, name: str) -> Section:
    called = " (the lower bound)" if bound.method == LOWER_BOUND else ""
    return Section(
        f"Gain over {bound.label}{name}",
        [
            f"A case's {measure} minus that of {bound.label}{called} from the same sequences: the mean over the cases "
            "that both were scored on. Purple is a gain, orange a loss."
        ],
        fragments=[gains],
        notes=[
            f"* p < {_DECIDED} for the mean of the regions: Wilcoxon's signed-rank test by patient, with Holm's "
            f"correction over all {len(found.differences)} tests of paired differences, which a table below lists."
        ],
    )


def _strips(strips: str, bound: Series, measure: str, name: str) -> Section:
    crowded = any(len(cases) > MOST_DOTS for cases in bound.dice.values())
    return Section(
        f"Paired differences from {bound.label}{name}",
        [
            f"A dot is a case: its {measure}, the mean over the regions, minus that of {bound.label} from the same "
            "sequences. The black line is the median; beside it, in how many cases the method was better."
            + (f" Of more than {MOST_DOTS} cases, the band's height is their number." if crowded else "")
        ],
        fragments=[strips],
    )


def _tests(found: Versus, name: str) -> list[Section]:
    if not found.differences:
        return []
    table = _folded(html_of(versus_grid(found)), len(found.differences), "tests")
    return [Section(f"Tests of paired differences{name}", fragments=[table])]


def _folded(table: str, lines: int, what: str) -> str:
    """A table, behind a fold if it is long."""
    return f"<details><summary>The table of {lines} {what}</summary>{table}</details>" if lines > _FEW else table


def _ranking(rows: Sequence[Row], comparison: Comparison, name: str) -> list[Section]:
    if len({row.method for row in rows}) < 2:
        return []
    try:
        ranking = rank(rows, patients=comparison.patients)
    except DataError as error:
        return [Section(f"Ranking{name}", [f"No ranking: {error}."])]
    tables = [html_of(ranking_table.places(ranking, comparison)), html_of(ranking_table.pairs(ranking, comparison))]
    folded = f"<details><summary>Every two methods</summary>{tables[1]}</details>"
    return [Section(f"Ranking{name}", fragments=[tables[0], folded])]


def _table(comparison: Comparison, folder: Path, name: str) -> Section:
    if len(comparison.lines) > _FEW:
        table = _folded(html_table(comparison), len(comparison.lines), "lines")
        return Section(f"Every line, with intervals{name}", fragments=[table])
    boxes = figures.dice_by_region(folder / "dice.png", comparison)
    caption = f"{comparison.measure.capitalize()} by region and run"
    return Section(f"Results{name}", comparison=comparison, pictures=[Picture(boxes, caption)])


def _papers(comparison: Comparison, name: str) -> list[Section]:
    """The tables of the papers whose methods were measured, with the measured numbers in them."""
    wanted = [table for method in dict.fromkeys(line.method for line in comparison.lines) for table in of(method)]
    folds = []
    for table in wanted:
        title = html.escape(f"{table.id}: {table.title}")
        body = html_of(paper_tables.grid(table.id, comparison))
        folds.append(f"<details><summary>{title}</summary>{body}</details>")
    words = "Each paper's own table, as printed, with the numbers of this page beside its."
    return [Section(f"Beside the papers{name}", [words], fragments=folds)] if folds else []


def _viewer(scenes: Sequence[Scene]) -> Section:
    masks = any(scene.masks for scene in scenes)
    return Section(
        "Look at cases",
        [
            "Drag in a pane, or use the slider, to go through the scan; both panes move together. "
            + ("Each pane shows the mask that is chosen above it. " if masks else "")
            + "The view is the radiologist's: the patient's right is on the left."
        ],
        fragments=[viewer.embed(scenes), viewer.licences()],
    )


def _failures(rows: Sequence[Row], comparison: Comparison, shown: set[tuple[str, str, str]], name: str) -> Section:
    ranked = failures.predictions(rows)
    linked = any((one.case, one.run, str(one.subset)) in shown for one in ranked[:_WORST])
    return Section(
        f"Failures, worst first{name}",
        fragments=[
            f"<h3>Cases by their {comparison.measure}, the mean over all methods and sequences</h3>",
            failures.hardest_table(collect(comparison), _HARDEST),
            f"<h3>Single predictions by their {comparison.measure}, the mean over the regions</h3>",
            failures.worst_table(ranked, _WORST, shown),
        ],
        notes=["A case that is a link can be looked at in the viewer above."] if linked else [],
    )


def _runs(records: Sequence[RunRecord], folder: Path) -> list[Section]:
    sections: list[Section] = []
    pictures: list[Picture] = []
    methods = dict.fromkeys(record.method for record in records)
    for method in methods:
        logs = [record.log for record in records if record.method == method and record.log is not None]
        if logs:
            drawn = figures.learning_curves(folder / f"{len(pictures)}.png", logs)
            runs = f"{len(logs)} runs" if len(logs) > 1 else "one run"
            pictures.append(Picture(drawn, f"{method}: {runs}"))
    if pictures:
        sections.append(Section("Training", pictures=pictures))
    sections.append(Section("Settings of the runs", fragments=provenance.settings_blocks(records)))
    return sections
