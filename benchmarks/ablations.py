"""What each term of each method gives, on the data and the budget of benchmarks/distillation.py.

python benchmarks/ablations.py --out distillation      hours on two cores, after distillation.py
python benchmarks/ablations.py --tables                the tables alone, of what is recorded

Each method's rows are those of its paper's ablation (MTCM-KD's those of its authors' files, of CHOI and of our own
method the questions that are open), for the students that the paper took. Rows are kept in docs/results/distillation;
the same command goes on where it stopped.

Each row is compared with the whole method, patient by patient: by the mean of Dice over WT, TC and ET, over seeds, and
over subsets where there are several. Intervals are bootstrapped by patient; p is Wilcoxon's, adjusted by Holm over the
rows of one method.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from distillation import ALONE, by_patient, difference
from recorded import Evidence, asked_for, of_one_cohort, write_runs

from limbeck.anatomy import Subset
from limbeck.evaluation.statistics import holm, mean
from limbeck.evaluation.table import Row

_NO_FUSION = {"fusion_weight": 0.0, "deep_weight": 0.0, "soft_fusion_weight": 0.0}
_NO_CLASSES = {"class_relation_weight": 0.0}
_NO_POSITIONS = {"position_relation_weight": 0.0}
_NO_GAME = {"adversarial_weight": 0.0}
_NO_KNOWLEDGE = {"start": "fresh", "soft_label_weight": 0.0}
_LONE = "a student alone"
_COMPARED = "gain of the whole", "95 % interval", "better in", "p (Holm)"


@dataclass(frozen=True)
class Part:
    """What is left of a method in one row.

    Attributes:
        name: of the row.
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

    @property
    def served(self) -> list[Subset]:
        """The subsets as such."""
        return [Subset.parse(words) for words in self.subsets]


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
        ("flair", "t1ce"),
        (
            Part("classes instead of regions", {"terms": "classes"}),
            Part("no soft labels", {"soft_label_weight": 0.0}),
            Part("no start", {"start": "fresh"}),
            Part("regions alone", _NO_KNOWLEDGE),
            # What each of six students costs, with its share of the generalist.
            Part("regions alone, twice the steps", {**_NO_KNOWLEDGE, "steps": 2000}),
            # As many as the generalist's 4,000 and the student's 1,000.
            Part("regions alone, five times the steps", {**_NO_KNOWLEDGE, "steps": 5000}),
        ),
    ),
)


def main() -> None:
    """Train, score and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", help="of the matrix's, these: 0,1 [all]")
    parser.add_argument("--methods", help="these: gkd,limbeck [all]")
    arguments, evidence = asked_for(parser)
    seeds = [int(seed) for seed in arguments.seeds.split(",")] if arguments.seeds else evidence.content["seeds"]
    known = [ablation.method for ablation in ABLATIONS]
    methods = arguments.methods.split(",") if arguments.methods else known
    if unknown := set(methods) - set(known):
        parser.error(f"no ablation of {', '.join(sorted(unknown))}: expected of {', '.join(known)}")
    for ablation in (ablation for ablation in ABLATIONS if ablation.method in methods):
        rows = {part.name: students(evidence, ablation, part.settings, seeds) for part in ablation.parts}
        rows[_LONE] = [row for row in evidence.rows(ALONE, {}, (), seeds) if row.subset in ablation.served]
        whole = students(evidence, ablation, {}, seeds)
        of_one_cohort([row for own in (whole, *rows.values()) for row in own])
        print("\n".join(page(ablation, whole, rows)), flush=True)
    write_runs(arguments.record)


def students(evidence: Evidence, ablation: Ablation, settings: Mapping[str, object], seeds: Sequence[int]) -> list[Row]:
    """The rows of a method's students, with some settings changed; the whole method's come from the comparison."""
    rows = evidence.rows(ablation.method, settings, ablation.subsets if settings else (), seeds)
    return [row for row in rows if row.method == ablation.method and row.subset in ablation.served]


def page(ablation: Ablation, whole: Sequence[Row], parts: Mapping[str, Sequence[Row]]) -> Iterator[str]:
    """A method's table, as Markdown; of what was trained for every seed that the whole method has."""
    if not whole:
        yield f"\n{ablation.method}: not trained yet."
        return
    trained = {row.seed for row in whole}
    lacking = [name for name, rows in parts.items() if {row.seed for row in rows} != trained]
    full = by_patient(whole)
    seeds = ", ".join(map(str, sorted(trained)))
    yield f"\n{ablation.method}, students of {', '.join(ablation.subsets)}, seeds {seeds}:\n"
    printed = {part.name: part.printed for part in ablation.parts} | {_LONE: ablation.printed[1]}
    in_paper = any(value is not None for value in (*ablation.printed, *printed.values()))

    def line(name: str, paper: str, *cells: str) -> str:
        return f"| {' | '.join([name, *([paper] if in_paper else []), *cells])} |"

    yield line("what is left", "the paper's Dice, %", "Dice", *_COMPARED)
    yield f"|---|{'--:|' if in_paper else ''}--:|--:|---|--:|--:|"
    yield line("the whole method", _said(ablation.printed[0]), f"{mean(list(full.values())):.3f}", *[""] * 4)
    rows = {name: by_patient(own) for name, own in parts.items() if name not in lacking}
    gains = {name: difference(full, scores, list(full)) for name, scores in rows.items()}
    adjusted = holm([gain.p for gain in gains.values()])
    for (name, gain), p in zip(gains.items(), adjusted, strict=True):
        between = f"{gain.interval.low:+.3f} to {gain.interval.high:+.3f}" if gain.interval else ""
        told = f"{gain.mean:+.3f}", between, f"{gain.better} of {gain.count}", f"{p:.2g}"
        yield line(name, _said(printed[name]), f"{mean(list(rows[name].values())):.3f}", *told)
    if lacking:
        yield f"\nNot trained for all of these seeds: {', '.join(lacking)}."


def _said(printed: float | None) -> str:
    return "" if printed is None else f"{printed:.2f}"


if __name__ == "__main__":
    main()
