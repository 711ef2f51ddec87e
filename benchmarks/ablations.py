"""What each term of each method gives, on the data and the budget of benchmarks/distillation.py.

python benchmarks/ablations.py --evidence distillation            hours on two cores, after distillation.py

Each method's rows are those of its paper's ablation (MTCM-KD's those of its authors' files, of CHOI and of our own
method the questions that are open), for the students that the paper took. Teachers are not trained again. What is
finished is kept: the same command goes on.

Each row is compared with the whole method, patient by patient: by the mean of Dice over WT, TC and ET, over seeds, and
over subsets where there are several. Intervals are bootstrapped by patient; p is Wilcoxon's, adjusted by Holm over the
rows of one method.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from distillation import ALONE, MATRIX, Scores, benchmark, derived, difference, of_method, write_runs

from limbeck.anatomy import Subset
from limbeck.evaluation import table
from limbeck.evaluation.statistics import holm, mean
from limbeck.evaluation.table import Row
from limbeck.methods import find

_NO_FUSION = {"fusion_weight": 0.0, "deep_weight": 0.0, "soft_fusion_weight": 0.0}
_NO_CLASSES = {"class_relation_weight": 0.0}
_NO_POSITIONS = {"position_relation_weight": 0.0}
_NO_GAME = {"adversarial_weight": 0.0}


@dataclass(frozen=True)
class Part:
    """What is left of a method in one row.

    Attributes:
        name: of the row, and of its folder.
        settings: what differs from the whole method.
        printed: mean Dice (%) of the paper's row.
    """

    name: str
    settings: Mapping[str, object]
    printed: float | None = None


@dataclass(frozen=True)
class Ablation:
    """The rows of one method.

    Attributes:
        method: name in METHODS.
        subsets: whose students are trained.
        parts: the rows without the whole method.
        printed: mean Dice (%) of the paper's whole method, and of its student alone.
    """

    method: str
    subsets: tuple[str, ...]
    parts: tuple[Part, ...]
    printed: tuple[float | None, float | None] = (None, None)


ABLATIONS = (
    Ablation(
        "gkd",
        ("flair",),
        (
            Part("soft labels alone", {"region_attention_weight": 0.0}, 66.92),
            Part("region attention alone", {"soft_label_weight": 0.0}, 66.88),
        ),
        (69.64, 62.09),
    ),
    Ablation(
        "pkdr",
        ("t2",),
        (
            Part("no patch selection", {"patch_selection_weight": 0.0}, 67.31),
            Part("no soft patches", {"soft_patch_weight": 0.0}, 67.23),
            Part("no patch contrast", {"patch_contrast_weight": 0.0}, 67.72),
            Part("no soft regions", {"soft_region_weight": 0.0}),
        ),
        (67.95, 64.91),
    ),
    Ablation(
        "rirn",
        ("t1ce",),
        (
            Part("no term", {**_NO_CLASSES, **_NO_POSITIONS, **_NO_GAME}, 79.52),
            Part("classes, unfiltered", {"manual_filter": False, **_NO_POSITIONS, **_NO_GAME}, 79.75),
            Part("classes", {**_NO_POSITIONS, **_NO_GAME}, 80.51),
            Part("positions", {**_NO_CLASSES, **_NO_GAME}, 80.53),
            Part("classes and positions", _NO_GAME, 81.11),
        ),
        (81.55, None),
    ),
    Ablation(
        "mtcmkd",
        ("t1ce",),
        (
            Part("no teacher", {"segmentation_weight": 1.0, "soft_label_weight": 0.0, **_NO_FUSION}),
            Part("teachers alone", _NO_FUSION),
            Part("fusion alone", {"soft_label_weight": 0.0}),
        ),
    ),
    Ablation(
        "choi",
        ("flair+t1ce",),
        (
            Part("no Barlow twins", {"barlow_twins_weight": 0.0}),
            Part("cross-entropy alone", {"dice_weight": 0.0}),
            Part("soft labels, too", {"soft_label_weight": 1.0}),
        ),
    ),
    Ablation(
        "limbeck",
        ("flair", "t1", "t1ce", "t2"),
        (
            Part("start alone", {"soft_label_weight": 0.0}),
            Part("soft labels alone", {"start": "fresh"}),
        ),
    ),
)


def main() -> None:
    """Train, score and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--matrix", type=Path, default=MATRIX)
    parser.add_argument("--evidence", type=Path, default=Path("distillation"), help="what distillation.py was given")
    arguments = parser.parse_args()
    whole = table.read(arguments.evidence / "equal-steps" / "results.csv")
    lines: list[str] = []
    rows: list[Row] = []
    for ablation in ABLATIONS:
        parts = [(part, trained(ablation, part, arguments.matrix, arguments.evidence)) for part in ablation.parts]
        lines += page(ablation, whole, parts)
        rows += [row for _, own in parts for row in own]
        print("\n".join(lines), flush=True)
    (arguments.evidence / "ablations.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    write_runs(rows, arguments.evidence / "ablation-runs.csv")


def trained(ablation: Ablation, part: Part, matrix: Path, evidence: Path) -> list[Row]:
    """The rows of one part, trained and scored where that is not done yet."""
    folder = evidence / "ablations" / f"{ablation.method}, {part.name}"
    asked = derived(matrix, folder.with_suffix(".yaml"), ablation.method, part.settings, ablation.subsets)
    share_teachers(find(ablation.method).needs.values(), evidence / "equal-steps" / "runs", folder / "runs")
    rows = benchmark(asked, folder, "--data", str(evidence / "equal-steps" / "cohort"))
    return [row for row in rows if row.method == ablation.method]


def share_teachers(methods: Iterator[str] | Sequence[str], source: Path, out: Path) -> None:
    """Copy finished runs of these methods that see all sequences, or any, so that a matrix finds them done."""
    for method in methods:
        for sees in (Subset.parse("all"), "any"):
            for run in source.glob(f"{method}-{sees}-*"):
                shutil.copytree(run, out / run.name, dirs_exist_ok=True)


def page(ablation: Ablation, whole: Sequence[Row], parts: Sequence[tuple[Part, Sequence[Row]]]) -> Iterator[str]:
    """A method's table, as Markdown."""
    subsets = [Subset.parse(words) for words in ablation.subsets]
    full = _of(of_method(whole, ablation.method), subsets)
    alone = _of(of_method(whole, ALONE), subsets)
    yield f"\n{ablation.method}, students of {', '.join(ablation.subsets)}:\n"
    yield "| what is left | the paper's Dice, % | Dice | gain of the whole | 95 % interval | better in | p (Holm) |"
    yield "|---|--:|--:|--:|---|--:|--:|"
    yield f"| the whole method | {_said(ablation.printed[0])} | {mean(list(full.values())):.3f} | | | | |"
    rows = {part.name: (part.printed, of_method(rows, ablation.method)) for part, rows in parts}
    rows["a student alone"] = (ablation.printed[1], alone)
    gains = {name: difference(full, scores, list(full)) for name, (_, scores) in rows.items()}
    adjusted = holm([gain.p for gain in gains.values()])
    for (name, gain), p in zip(gains.items(), adjusted, strict=True):
        paper, scores = rows[name]
        between = f"{gain.interval.low:+.3f} to {gain.interval.high:+.3f}" if gain.interval else ""
        left = f"| {name} | {_said(paper)} | {mean(list(scores.values())):.3f} | {gain.mean:+.3f} | {between}"
        yield f"{left} | {gain.better} of {gain.count} | {p:.2g} |"


def _said(printed: float | None) -> str:
    return "" if printed is None else f"{printed:.2f}"


def _of(scores: Scores, subsets: Sequence[Subset]) -> Scores:
    return {(subset, case): value for (subset, case), value in scores.items() if subset in subsets}


if __name__ == "__main__":
    main()
