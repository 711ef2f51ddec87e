"""A model on the real development cases, from each of the 15 subsets of the sequences.

    make real                                                                        the weights in the box
    python benchmarks/real_cases.py --real FOLDER --model MODEL --out real           another run or pack

Nothing is fitted to the real cases: they are only scored, on the grids of their references. Tables and pictures stay in
the output folder, which git ignores.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from limbeck.anatomy import Region, Subset
from limbeck.commands.bar import bar
from limbeck.data.cohort import import_cohort
from limbeck.data.cohort_case import CohortCase
from limbeck.data.importers import detect_layout
from limbeck.data.volume import read_volume, write_labels
from limbeck.evaluation.metrics import score
from limbeck.inference.model import Model
from limbeck.inference.segmentation import Segmentation
from limbeck.report import figures

METRICS = ("dice", "hd95_mm")
# Whose masks are drawn.
DRAWN = tuple(map(Subset.parse, ("flair", "t1", "t1ce", "t2", "all")))


@dataclass(frozen=True)
class Scored:
    """One mask beside its reference.

    Attributes:
        case: its name.
        subset: the sequences that were given.
        choice: who answered.
        dice: by region.
        hd95_mm: by region.
        empty: regions that reference or mask, or both, do not have.
    """

    case: str
    subset: Subset
    choice: str
    dice: dict[Region, float]
    hd95_mm: dict[Region, float]
    empty: int


def main() -> None:
    """Score and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("real"))
    parser.add_argument("--real", type=Path, default=os.environ.get("LIMBECK_REAL_DATA"), help="LIMBECK_REAL_DATA")
    parser.add_argument("--model", type=Path, help="run or pack (default: the weights in the box)")
    parser.add_argument("--flips", action="store_true", help="mean over eight mirror images")
    arguments = parser.parse_args()
    if arguments.real is None or not Path(arguments.real).is_dir():
        parser.error("no real cases: set LIMBECK_REAL_DATA to their folder")
    model = Model.load(arguments.model)
    cases = [case for source in _sources(Path(arguments.real)) for case in _imported(source, arguments.out)]
    subsets = [subset for subset in Subset.every() if _serves(model, subset)]
    found: list[Scored] = []
    with bar("Real cases", len(cases) * len(subsets)) as advance:
        for case in cases:
            for subset in subsets:
                found.append(_scored(model, case, subset, arguments))
                advance(len(found))
    title = f"{model.name}{', mean over eight mirror images' if arguments.flips else ''}\n"
    text = "\n".join([title, *table(found), "", *rules(found), "", *by_case(found, DRAWN)])
    print(text)
    (arguments.out / "table.md").write_text(text + "\n", encoding="utf-8")


def table(found: Sequence[Scored]) -> Iterator[str]:
    """Means over the cases for each subset, as Markdown."""
    yield "| given | used | Dice WT | TC | ET | HD95 WT, mm | TC | ET |"
    yield "|---|---|--:|--:|--:|--:|--:|--:|"
    for subset in dict.fromkeys(one.subset for one in found):
        mine = [one for one in found if one.subset == subset]
        dice = " | ".join(f"{fmean(one.dice[region] for one in mine):.3f}" for region in Region)
        far = " | ".join(f"{fmean(one.hd95_mm[region] for one in mine):.1f}" for region in Region)
        (choice,) = {one.choice for one in mine}
        yield f"| {subset} | {choice} | {dice} | {far} |"


def rules(found: Sequence[Scored]) -> Iterator[str]:
    """What stands under the table."""
    empty, regions = sum(one.empty for one in found), len(Region) * len(found)
    yield f"n = {len({one.case for one in found})} cases, too few for intervals; no case is left out. A region that"
    yield "reference and mask both lack gives Dice 1 and HD95 0 mm, one that one of them lacks 0 and 374 mm;"
    yield f"{empty} of {regions} were so. HD95 is the larger of the two directions' 95th percentiles of surface"
    yield "distances."


def by_case(found: Sequence[Scored], subsets: Iterable[Subset]) -> Iterator[str]:
    """Dice of each case for some subsets, as Markdown."""
    yield "| given | case | Dice WT | TC | ET |"
    yield "|---|---|--:|--:|--:|"
    for subset in subsets:
        for one in found:
            if one.subset == subset:
                dice = " | ".join(f"{one.dice[region]:.3f}" for region in Region)
                yield f"| {subset} | {one.case} | {dice} |"


def _sources(real: Path) -> list[Path]:
    return sorted(path for path in real.iterdir() if path.is_dir())


def _imported(source: Path, out: Path) -> Sequence[CohortCase]:
    """The cases of a folder as a cohort, which knows what their codes mean."""
    importer, explanation = detect_layout(source)
    print(f"{source.name}: {explanation}")
    cohort = import_cohort(
        importer.find(source),
        out / "cohorts" / source.name,
        spacing_mm=2.0,
        scheme=importer.scheme(source),
        layout=importer.name,
        source=source,
    )
    return cohort.cases


def _serves(model: Model, subset: Subset) -> bool:
    return any(subset in member.card.subsets for member in model.members)


def _scored(model: Model, case: CohortCase, subset: Subset, arguments: argparse.Namespace) -> Scored:
    """Predict from the files as they came, as `limbeck predict` does."""
    given = {modality.role: case.source(modality) for modality in sorted(subset)}
    prediction = model.segment(given, flips=arguments.flips)
    reference, grid = case.reference()
    scores = score(prediction.labels, reference, grid.spacing_mm, METRICS)
    values = {(one.metric, one.region): one.value for one in scores}
    if subset in DRAWN:
        _draw(arguments.out, case, prediction)
    return Scored(
        case.id,
        subset,
        prediction.choice.kind,
        *({region: values[metric, region] for region in Region} for metric in METRICS),
        sum(bool(one.note) for one in scores if one.metric == "dice"),
    )


def _draw(out: Path, case: CohortCase, prediction: Segmentation) -> None:
    shown = min(prediction.subset)
    image, grid = read_volume(case.source(shown))
    reference, _ = case.reference()
    stem = f"{case.id}-{prediction.subset}"
    write_labels(out / "masks" / f"{stem}.nii.gz", prediction.labels, grid)
    figures.overlay(
        out / "overlays" / f"{stem}.png",
        image,
        {"reference": reference, "limbeck": prediction.labels},
        reference="reference",
        image_title=shown.role,
        affine=grid.affine,
    )


if __name__ == "__main__":
    main()
