"""The demo: phantoms -> teacher -> two students of equal budget, one alone and one distilled -> table, picture, report.

It is the main job in small, by the same functions that the commands call, and it prints what it found, whichever way
that came out.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from limbeck.anatomy import Subset
from limbeck.data.cohort import Cohort, import_cohort
from limbeck.data.dataset import SamplingSettings
from limbeck.data.importers import detect_layout
from limbeck.data.volume import read_volume
from limbeck.durable import write_text
from limbeck.errors import UsageError
from limbeck.evaluation import table
from limbeck.evaluation.statistics import paired_wilcoxon
from limbeck.evaluation.table import Row
from limbeck.experiment import RunSettings, plan, run
from limbeck.inference.predictor import load
from limbeck.methods import find
from limbeck.phantom.cohort import refuse_more
from limbeck.phantom.cohort import write as write_phantoms
from limbeck.report import figures, page
from limbeck.report.tables import Comparison, compare, markdown
from limbeck.scoring import evaluate_run
from limbeck.training.optimise import OptimiserSettings
from limbeck.training.trainer import TrainingSettings

# A function that shows a stage's progress: title and total in, a function that takes what is done out.
Bar = Callable[[str, int], AbstractContextManager[Callable[..., None]]]

LABELS = ("teacher", "alone", "distilled")


@dataclass(frozen=True)
class DemoSettings:
    """The demo's budget: some six minutes on two cores with AVX-512, twenty without.

    Attributes:
        cases: phantoms; a third of them is held out for the table.
        spacing: voxel size in mm.
        steps: of each of the three runs.
        width: of every network.
        patch: side of the cubic crops in voxels.
        subset: what the students see.
        seed: of phantoms, weights and crops.
    """

    cases: int = 48
    spacing: float = 2.0
    steps: int = 600
    width: int = 8
    patch: int = 48
    subset: str = "flair"
    seed: int = 0


@dataclass(frozen=True)
class DemoResult:
    """What the demo leaves.

    Attributes:
        comparison: the table.
        verdict: what it says, in words.
        report: the page.
        picture: image, reference, and what the two students drew.
    """

    comparison: Comparison
    verdict: str
    report: Path
    picture: Path


def demonstrate(out: Path, settings: DemoSettings, bar: Bar) -> DemoResult:
    """Run the demo in a folder; what is finished there already is kept.

    Args:
        out: gets `phantoms/`, `cohort/`, `runs/`, `results.csv`, `table.md`, `picture.png` and `report.html`.
        settings: the budget.
        bar: shows each stage.
    """
    # Before any work, so that a setting that cannot be costs nothing.
    if Subset.parse(settings.subset) == Subset.parse("all"):
        raise UsageError(f"subset {settings.subset}: the teacher sees all four sequences: expected fewer")
    for label, (method, subset) in _wanted(settings).items():
        plan(method, subset, out / label if find(method).needs else None, _parts(method, settings))
    cohort = _cohort(out, settings, bar)
    runs = _runs(out / "runs", cohort, settings, bar)
    rows: list[Row] = []
    for label, folder in runs.items():
        with bar(f"Score {label}", 1) as advance:
            rows += evaluate_run(folder, cohort, progress=advance)
    table.write(out / "results.csv", rows)
    names = {folder.name: label for label, folder in runs.items()}
    comparison = compare(rows, names, cohort.patients)
    verdict = _verdict(rows, names, settings)
    write_text(out / "table.md", f"{markdown(comparison)}\n{verdict}\n")
    picture = _picture(out / "picture.png", rows, runs, cohort, settings)
    report = _report(out, comparison, verdict, picture, runs, settings)
    return DemoResult(comparison, verdict, report, picture)


def _cohort(out: Path, settings: DemoSettings, bar: Bar) -> Cohort:
    source = out / "phantoms"
    refuse_more(source, settings.cases)
    cohort = out / "cohort"
    if (cohort / "cohort.json").is_file() and (found := len(Cohort.open(cohort).cases)) != settings.cases:
        raise UsageError(f"{out} holds a demo of {found} phantoms, {settings.cases} were asked for: give another --out")
    with bar("Phantoms", settings.cases) as advance:
        write_phantoms(source, settings.cases, seed=settings.seed, spacing_mm=settings.spacing, progress=advance)
    importer, _ = detect_layout(source)
    with bar("Import", settings.cases) as advance:
        return import_cohort(
            importer.find(source),
            cohort,
            spacing_mm=settings.spacing,
            scheme=importer.scheme(source),
            layout=importer.name,
            source=source,
            progress=advance,
        )


def _runs(out: Path, cohort: Cohort, settings: DemoSettings, bar: Bar) -> dict[str, Path]:
    """Teacher, student alone, student distilled: the same network, crops, steps and fold."""
    runs: dict[str, Path] = {}
    for label, (method, subset) in _wanted(settings).items():
        teacher = runs["teacher"] if find(method).needs else None
        experiment = plan(method, subset, teacher, _parts(method, settings))
        with bar(f"Train {label} ({subset})", settings.steps) as advance:
            runs[label] = run(experiment, cohort, out, advance)
    return runs


def _wanted(settings: DemoSettings) -> dict[str, tuple[str, str]]:
    """Method and subset of each run, in the order in which they need one another."""
    return {
        "teacher": ("supervised", "all"),
        "alone": ("supervised", settings.subset),
        "distilled": ("gkd", settings.subset),
    }


def _parts(method: str, settings: DemoSettings) -> dict[str, Any]:
    side, quarter = settings.patch, max(settings.steps // 4, 1)
    return {
        "method_settings": find(method).Settings(width=settings.width),
        "run": RunSettings(fold=0, folds=3, seed=settings.seed),
        "training": TrainingSettings(steps=settings.steps, validate_every=quarter, save_every=quarter),
        "optimiser": OptimiserSettings(optimiser="adamw", learning_rate=2e-3, schedule="cosine", warmup=20, clip=5.0),
        "sampling": SamplingSettings(patch=(side, side, side)),
    }


def _verdict(rows: list[Row], names: Mapping[str, str], settings: DemoSettings) -> str:
    """What the table says about distillation, with its uncertainty, in plain words."""
    dice: dict[str, dict[str, list[float]]] = {label: {} for label in LABELS}
    for row in rows:
        if row.metric == "dice":
            dice[names[row.run]].setdefault(row.case, []).append(row.value)
    cases = sorted(dice["alone"])
    alone = np.array([fmean(dice["alone"][case]) for case in cases])
    distilled = np.array([fmean(dice["distilled"][case]) for case in cases])
    gain = float((distilled - alone).mean())
    probability = paired_wilcoxon(distilled.tolist(), alone.tolist())
    decided = probability < 0.05
    helped = "helped" if gain > 0 else "did harm"
    found = f"Distillation {helped}" if decided else "This budget is too small to tell whether distillation helps"
    longer = _command(replace(settings, steps=settings.steps * 8, cases=settings.cases * 4), "longer")
    more = "" if decided and gain > 0 else f" A longer run can tell more: {longer}."
    return (
        f"{found}: distilled minus alone is {gain:+.3f} in mean Dice over {len(cases)} held-out phantoms "
        f"(Wilcoxon signed-rank, p = {probability:.3f}; one seed).{more}"
    )


def _picture(path: Path, rows: list[Row], runs: Mapping[str, Path], cohort: Cohort, settings: DemoSettings) -> Path:
    """The held-out case at which the lone student's Dice is the median: neither the best nor the worst to show."""
    scores: dict[str, list[float]] = {}
    for row in rows:
        if row.run == runs["alone"].name and row.metric == "dice":
            scores.setdefault(row.case, []).append(row.value)
    ordered = sorted(scores, key=lambda case: (fmean(scores[case]), case))
    case = cohort.case(ordered[len(ordered) // 2])
    subset = Subset.parse(settings.subset)
    reference, grid = case.reference()
    shown = min(subset)
    image, _ = read_volume(case.source(shown))
    titles = {"reference": reference}
    for label in LABELS[1:]:
        titles[label] = load(runs[label]).segment_case(case, subset)
    return figures.overlay(path, image, titles, reference="reference", image_title=shown.title, affine=grid.affine)


def _report(
    out: Path,
    comparison: Comparison,
    verdict: str,
    picture: Path,
    runs: Mapping[str, Path],
    settings: DemoSettings,
) -> Path:
    curves = figures.training_curves(out / "curves.png", {label: folder / "log.csv" for label, folder in runs.items()})
    boxes = figures.dice_by_region(out / "dice.png", comparison)
    sections = [
        page.Section(
            "Teacher, alone, distilled", [verdict], comparison, [page.Picture(boxes, "Dice by region and run")]
        ),
        page.Section(
            "A held-out patient",
            ["The case at which the lone student's mean Dice is the median."],
            pictures=[page.Picture(picture, "Scan, reference, the student alone, the distilled student")],
        ),
        page.Section("Training", pictures=[page.Picture(curves, "Training curves of the three runs")]),
    ]
    return page.write(
        out / "report.html",
        "Limbeck demo",
        sections,
        introduction=[
            "Synthetic patients were made; a teacher learnt from all four sequences; two students with equal budgets "
            f"learnt from {settings.subset} alone, one of them from the teacher too (GKD). All were scored on patients "
            "that none had seen. Research software, not for clinical use."
        ],
        settings=asdict(settings),
        commands=[_command(settings, out.resolve().name)],
    )


def _command(settings: DemoSettings, out: str) -> str:
    """What makes such a demo, with no more options than it takes."""
    usual = asdict(DemoSettings())
    options = [(f"--{name}", str(value)) for name, value in asdict(settings).items() if value != usual[name]]
    return shlex.join(["limbeck", "demo", *chain(*options), "--out", out])
