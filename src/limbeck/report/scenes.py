"""Cases for the viewer: which to show, and where their scans, references and predictions come from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from limbeck.anatomy import CANONICAL_SCHEME, Modality, Subset
from limbeck.data.grid import Grid
from limbeck.data.source import Source
from limbeck.data.volume import read_labels, read_volume
from limbeck.errors import DataError, UsageError, nearest
from limbeck.evaluation.masks import MaskFolder
from limbeck.evaluation.table import RAW, Row
from limbeck.report.comparison import MEASURES, main_metric
from limbeck.report.scores import rank
from limbeck.report.viewer import Mask, Scene

if TYPE_CHECKING:
    # The cohort's module imports torch, which a report without a viewer does without.
    from limbeck.data.cohort import Cohort, CohortCase


def check_cohort(rows: Sequence[Row], cohort: Cohort) -> None:
    """Refuse results of other data.

    Raises:
        DataError: they were measured on another cohort.
    """
    hashes = {row.data for row in rows if row.data}
    if hashes and hashes != {cohort.hash}:
        found = ", ".join(sorted(text[:12] for text in hashes))
        raise DataError(f"the results were measured on cohort {found}; {cohort.path} is {cohort.hash[:12]}")


def gather(
    rows: Sequence[Row],
    cohort: Cohort,
    masks: Path | None,
    wanted: str = "3",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Scene]:
    """Scenes of chosen cases.

    Args:
        rows: the results; they name the runs whose masks are looked for.
        cohort: where the scans are listed.
        masks: a folder with `<run>/<case>_<subset>.nii.gz`, or None for scans and references alone.
        wanted: how many cases, from the hardest to the easiest, or names with commas.
        progress: told how many of the cases are read, and how many there are.

    Raises:
        DataError: the results were measured on other data, a file is missing or damaged, or there is no mask at all.
        UsageError: a case is not in the results, or the number is no number of cases.
    """
    check_cohort(rows, cohort)
    chosen = choose(rows, wanted)
    scenes = []
    for done, name in enumerate(chosen, 1):
        scenes.append(_scene(cohort.case(name), rows, masks))
        progress(done, len(chosen))
    if masks is not None and not any(scene.masks for scene in scenes):
        raise DataError(
            f"{masks} holds no mask of {', '.join(chosen[:3])}: expected RUN/CASE_SUBSET.nii.gz, as limbeck evaluate "
            "--masks writes them"
        )
    return scenes


def choose(rows: Sequence[Row], wanted: str) -> list[str]:
    """The cases to show: by name, or so many from the lowest to the highest mean Dice.

    Raises:
        DataError: the rows hold no Dice.
        UsageError: a case is not in the results, or the number is no number of cases.
    """
    main = main_metric(rows)
    dice: dict[str, list[float]] = {}
    for row in rows:
        if row.metric == main and row.processing == RAW:
            dice.setdefault(row.case, []).append(row.value)
    ranked = sorted(dice, key=lambda case: (fmean(dice[case]), case))
    if wanted in dice or not wanted.strip().lstrip("+-").isdigit():
        names = list(dict.fromkeys(name.strip() for name in wanted.split(",")))
        if unknown := [name for name in names if name not in dice]:
            raise UsageError(f"case {unknown[0]!r} is not in the results{nearest(unknown[0], dice)}")
        return names
    count = min(int(wanted), len(ranked))
    if count < 1:
        raise UsageError(f"--cases {wanted}: expected at least 1, or names of cases")
    if count == 1:
        return [ranked[len(ranked) // 2]]
    return [ranked[round(place * (len(ranked) - 1) / (count - 1))] for place in range(count)]


def _scene(case: CohortCase, rows: Sequence[Row], masks: Path | None) -> Scene:
    reference, grid = case.reference()
    images = {modality.role: read_volume(case.source(modality))[0] for modality in Modality if case.present[modality]}
    found = [] if masks is None else _masks(case.id, grid, rows, masks)
    return Scene(case.id, grid.affine, images, reference, found)


def _masks(case: str, grid: Grid, rows: Sequence[Row], folder: Path) -> list[Mask]:
    """The predictions of a case whose files are there: baselines first, then by label, the subsets in their order."""
    main = main_metric(rows)
    dice: dict[tuple[str, Subset], dict[str, float]] = {}
    about: dict[tuple[str, Subset], Row] = {}
    # Names from a table are names, not ways out of the folder.
    places = {run: MaskFolder(folder / Path(run).name) for run in {row.run for row in rows}}
    origins = {run: place.origin() for run, place in places.items()}
    for row in rows:
        # Masks made by other rules have other scores.
        by_these = origins[row.run].get("protocol", row.protocol) == row.protocol
        if row.case == case and row.metric == main and row.processing == RAW and by_these:
            dice.setdefault((row.run, row.subset), {})[row.region.name] = row.value
            about[row.run, row.subset] = row
    told = _labels(about.values())
    order = {subset: number for number, subset in enumerate(Subset.every())}
    found = []
    for run, subset in sorted(about, key=lambda key: (rank(about[key].method), told[key[0]], order[key[1]])):
        path = places[run].path(Path(case).name, subset)
        if path.is_file():
            cohort = about[run, subset].data
            if origins[run].get("cohort", cohort) != cohort:
                raise DataError(f"{path.parent} holds masks of another cohort than the results: give another --masks")
            labels, own = read_labels(Source(path), CANONICAL_SCHEME)
            if (difference := grid.difference(own)) is not None:
                raise DataError(f"{path}: {difference}, compared with the scan of {case}")
            found.append(Mask(run, told[run], str(subset), labels, dice[run, subset], MEASURES[main]))
    return found


def _labels(shown: Collection[Row]) -> dict[str, str]:
    """Run -> its method, with fold and seed where the method's runs differ in them.

    Where that leaves two runs from the same sequences with one label, the run's name stands in it too.

    Args:
        shown: a row for each run and subset.
    """
    told = {}
    for row in shown:
        siblings = [other for other in shown if other.method == row.method]
        differing = [name for name in ("fold", "seed") if len({getattr(other, name) for other in siblings}) > 1]
        told[row.run] = ", ".join([row.method, *(f"{name} {getattr(row, name)}" for name in differing)])
    taken = Counter((told[row.run], row.subset) for row in shown)
    shared = {row.run for row in shown if taken[told[row.run], row.subset] > 1}
    return {run: f"{label}, {run}" if run in shared else label for run, label in told.items()}
