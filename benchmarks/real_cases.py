"""Students trained on phantoms alone, measured on the four real development cases.

Nothing is fitted to the real cases: they are only scored. Pictures stay in the output folder, which git ignores.

    make real
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.console import Console

from limbeck.anatomy import Subset
from limbeck.commands.bar import bar
from limbeck.data.cohort import Cohort, import_cohort
from limbeck.data.dataset import SamplingSettings
from limbeck.data.importers import detect_layout
from limbeck.data.volume import read_volume, write_labels
from limbeck.evaluation import table
from limbeck.evaluation.table import Row
from limbeck.experiment import RunSettings, plan, run
from limbeck.inference.predictor import load
from limbeck.methods import find
from limbeck.phantom.cohort import write as write_phantoms
from limbeck.report import figures
from limbeck.report.tables import compare, markdown, terminal
from limbeck.scoring import evaluate_run
from limbeck.training.optimise import OptimiserSettings
from limbeck.training.trainer import TrainingSettings

SPACING_MM = 2.0
STUDENTS = ("flair", "t1ce")


def main() -> None:
    """Train on phantoms, then score on the real cases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("real"))
    parser.add_argument("--real", type=Path, default=os.environ.get("LIMBECK_REAL_DATA"), help="LIMBECK_REAL_DATA")
    parser.add_argument("--cases", type=int, default=200, help="phantoms")
    parser.add_argument("--teacher-steps", type=int, default=800)
    parser.add_argument("--student-steps", type=int, default=1000)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--method", default="gkd", help="gkd, or supervised for students alone")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.real is None or not Path(arguments.real).is_dir():
        parser.error("no real cases: set LIMBECK_REAL_DATA to their folder")

    started = time.monotonic()
    cohort = _phantoms(arguments)
    runs = _train(arguments, cohort)
    minutes = (time.monotonic() - started) / 60
    rows = _score(arguments, runs, cohort)
    names = {folder.name: label for label, folder in runs.items()}
    real = compare(rows, names)
    Console().print(terminal(real))
    summary = _by_case(rows, names)
    print(summary)
    print(f"phantoms and training took {minutes:.0f} minutes in this call")
    (arguments.out / "table.md").write_text(f"{markdown(real)}\n\n{summary}\n", encoding="utf-8")


def _phantoms(arguments: argparse.Namespace) -> Cohort:
    source = arguments.out / "phantoms"
    with bar("Phantoms", arguments.cases) as advance:
        write_phantoms(source, arguments.cases, seed=arguments.seed, spacing_mm=SPACING_MM, progress=advance)
    return _import(source, arguments.out / "cohort")


def _import(source: Path, out: Path) -> Cohort:
    importer, explanation = detect_layout(source)
    cases = importer.find(source)
    print(f"{source.name}: {explanation}")
    with bar(f"Import {source.name}", len(cases)) as advance:
        return import_cohort(
            cases,
            out,
            spacing_mm=SPACING_MM,
            scheme=importer.scheme(source),
            layout=importer.name,
            source=source,
            progress=advance,
        )


def _train(arguments: argparse.Namespace, cohort: Cohort) -> dict[str, Path]:
    def one(method: str, subset: str, steps: int, teacher: Path | None) -> Path:
        parts: dict[str, Any] = {
            "method_settings": find(method).Settings(width=arguments.width),
            "run": RunSettings(fold=0, folds=8, seed=arguments.seed),
            "training": TrainingSettings(steps=steps, validate_every=0, save_every=250),
            "optimiser": OptimiserSettings("adamw", 2e-3, 1e-4, schedule="cosine", warmup=50, clip=5.0),
            "sampling": SamplingSettings(patch=(64, 64, 64), batch=2),
        }
        with bar(f"{method} {subset}", steps) as advance:
            return run(plan(method, subset, teacher, parts), cohort, arguments.out / "runs", advance)

    teacher = None
    if find(arguments.method).needs:
        teacher = one("supervised", "all", arguments.teacher_steps, None)
    runs = {
        f"{arguments.method} {subset}": one(arguments.method, subset, arguments.student_steps, teacher)
        for subset in STUDENTS
    }
    return {"teacher": teacher, **runs} if teacher else runs


def _score(arguments: argparse.Namespace, runs: dict[str, Path], phantoms: Cohort) -> list[Row]:
    """Rows of every run on every real case, with masks and overlays beside; phantom rows go to a file of their own."""
    held_out = [row for folder in runs.values() for row in evaluate_run(folder, phantoms)]
    table.write(arguments.out / "phantom-results.csv", held_out)
    names = {folder.name: label for label, folder in runs.items()}
    Console().print("Held-out phantoms")
    Console().print(terminal(compare(held_out, names)))
    rows: list[Row] = []
    for source in sorted(path for path in Path(arguments.real).iterdir() if path.is_dir()):
        cohort = _import(source, arguments.out / "real" / source.name)
        for label, folder in runs.items():
            rows += evaluate_run(folder, cohort)
            _draw(arguments.out, label, folder, cohort)
    table.write(arguments.out / "results.csv", rows)
    return rows


def _draw(out: Path, label: str, folder: Path, cohort: Cohort) -> None:
    predictor = load(folder)
    subset: Subset = predictor.card.subsets[0]
    for case in cohort.cases:
        image, grid = read_volume(case.source(min(subset)))
        reference, _ = case.reference()
        labels = predictor.segment_case(case, subset)
        stem = f"{case.id}-{label.replace(' ', '-')}"
        write_labels(out / "masks" / f"{stem}.nii.gz", labels, grid)
        titles = {"reference": reference, label: labels}
        figures.overlay(
            out / "overlays" / f"{stem}.png",
            image,
            titles,
            reference="reference",
            image_title=min(subset).role,
            affine=grid.affine,
        )


def _by_case(rows: list[Row], names: dict[str, str]) -> str:
    """Dice by case and region, and the mean over the cases, as Markdown."""
    dice: dict[tuple[str, str], dict[str, float]] = {}
    for row in rows:
        if row.metric == "dice":
            dice.setdefault((names[row.run], row.case), {})[row.region.name] = row.value
    lines = ["| run | case | WT | TC | ET |", "|---|---|--:|--:|--:|"]
    for label in dict.fromkeys(label for label, _ in dice):
        mine = {case: values for (owner, case), values in dice.items() if owner == label}
        mine["**mean**"] = {region: fmean(values[region] for values in mine.values()) for region in ("WT", "TC", "ET")}
        lines += [
            f"| {label} | {case} | {values['WT']:.3f} | {values['TC']:.3f} | {values['ET']:.3f} |"
            for case, values in mine.items()
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
