"""Every method under the common recipe, at a small budget: teachers, lower bound, rival, the five systems and our own.

All share phantoms, folds, network, crop and schedule (configs/common.yaml); the options below shrink the budget. What
came out is printed as one table, whichever way it came out, with each student's difference from the lower bound.

    make methods
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean

from rich.console import Console

from limbeck.anatomy import Subset
from limbeck.commands.bar import bar
from limbeck.commands.settings import Settings
from limbeck.data.cohort import Cohort, import_cohort
from limbeck.data.importers import detect_layout
from limbeck.durable import write_text
from limbeck.evaluation import table
from limbeck.evaluation.statistics import holm, paired_wilcoxon
from limbeck.evaluation.table import Row
from limbeck.experiment import plan, run
from limbeck.methods import METHODS, find
from limbeck.phantom.cohort import write as write_phantoms
from limbeck.report.tables import compare, markdown, terminal
from limbeck.scoring import evaluate_run

RECIPE = Path(__file__).parents[1] / "configs" / "common.yaml"
TEACHERS = ("supervised", "pkdr_teacher")
ALONE = "supervised"


def main() -> None:
    """Train all, score all on the held-out fold, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("methods"))
    parser.add_argument("--cases", type=int, default=80, help="phantoms, of which a fifth is held out [80]")
    parser.add_argument("--spacing", type=float, default=2.0, help="mm [2]")
    parser.add_argument("--subset", default="t1ce", help="what the students see [t1ce]")
    parser.add_argument("--steps", type=int, default=500, help="of each run [500]")
    parser.add_argument("--width", type=int, default=8, help="of every network [8]")
    parser.add_argument("--patch", type=int, default=64, help="side of the crops [64]")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    cohort = _cohort(arguments)
    minutes: dict[str, float] = {}
    runs = _train(arguments, cohort, minutes)
    rows: list[Row] = []
    subset = Subset.parse(arguments.subset)
    for label, folder in runs.items():
        with bar(f"Score {label}", 1) as advance:
            wanted = None if label.startswith("teacher") else (subset,)
            rows += evaluate_run(folder, cohort, wanted, progress=advance)
    table.write(arguments.out / "results.csv", rows)
    names = {folder.name: label for label, folder in runs.items()}
    comparison = compare(rows, names, {case.id: case.patient for case in cohort.cases})
    Console().print(terminal(comparison))
    text = f"{markdown(comparison)}\n{_against(rows, names, minutes)}\n"
    print(text)
    write_text(arguments.out / "table.md", text)


def _cohort(arguments: argparse.Namespace) -> Cohort:
    source = arguments.out / "phantoms"
    with bar("Phantoms", arguments.cases) as advance:
        write_phantoms(source, arguments.cases, seed=arguments.seed, spacing_mm=arguments.spacing, progress=advance)
    importer, _ = detect_layout(source)
    with bar("Import", arguments.cases) as advance:
        return import_cohort(
            importer.find(source),
            arguments.out / "cohort",
            spacing_mm=arguments.spacing,
            scheme=importer.scheme(source),
            layout=importer.name,
            source=source,
            progress=advance,
        )


def _train(arguments: argparse.Namespace, cohort: Cohort, minutes: dict[str, float]) -> dict[str, Path]:
    """Label -> run: the teachers first, then the lower bound, then every other method."""

    def one(label: str, method: str, subset: str | None, teacher: Path | None = None) -> Path:
        budget = {"width": arguments.width, "steps": arguments.steps, "seed": arguments.seed, "validate-every": 0}
        words = [word for name, value in budget.items() for word in (f"--{name}", str(value))]
        words += ["--config", str(RECIPE), "--patch", ",".join([str(arguments.patch)] * 3)]
        _, parts = Settings(method).parse(words)
        started = time.monotonic()
        with bar(label, arguments.steps) as advance:
            folder = run(plan(method, subset, teacher, parts), cohort, arguments.out / "runs", advance)
        minutes[label] = (time.monotonic() - started) / 60
        return folder

    runs = {f"teacher ({method})": one(f"teacher ({method})", method, "all") for method in TEACHERS}
    for method in METHODS:
        kind = find(method)
        # A generalist teaches as it is, and stands before whom it teaches.
        labels = [
            provider if find(provider).generalist else f"teacher ({provider})" for provider in kind.needs.values()
        ]
        teacher = runs[labels[0]] if labels else None
        runs[method] = one(method, method, None if kind.generalist else arguments.subset, teacher)
    return runs


def _against(rows: list[Row], names: Mapping[str, str], minutes: Mapping[str, float]) -> str:
    """Each student's mean Dice over the regions minus the lower bound's, case by case, as a Markdown table."""
    scores: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        if row.metric == "dice":
            scores.setdefault(names[row.run], {}).setdefault(row.case, []).append(row.value)
    means = {label: {case: fmean(values) for case, values in cases.items()} for label, cases in scores.items()}
    students = [label for label in means if label != ALONE and not label.startswith("teacher")]
    cases = sorted(means[ALONE])
    pairs = {
        label: ([means[label][case] for case in cases], [means[ALONE][case] for case in cases]) for label in students
    }
    corrected = holm([paired_wilcoxon(*pairs[label]) for label in students])
    lines = [
        f"| student | mean Dice minus {ALONE}'s | better in | p (Wilcoxon, Holm) | training, minutes |",
        "|---|--:|--:|--:|--:|",
    ]
    for label, p in zip(students, corrected, strict=True):
        ours, theirs = pairs[label]
        better = sum(a > b for a, b in zip(ours, theirs, strict=True))
        gain = fmean(ours) - fmean(theirs)
        lines.append(f"| {label} | {gain:+.3f} | {better} of {len(cases)} | {p:.2g} | {minutes[label]:.1f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
