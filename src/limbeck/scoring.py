"""Scoring runs: which cases a run may be scored on, during training and after it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from limbeck.anatomy import Subset
from limbeck.data.cohort import Cohort, CohortCase
from limbeck.data.splits import Fold, folds
from limbeck.errors import DataError, ModelError, UsageError
from limbeck.evaluation.evaluate import evaluate
from limbeck.evaluation.table import Row
from limbeck.inference.predictor import Predictor, load
from limbeck.methods.base import Method
from limbeck.methods.precision import Precision, uses_bf16
from limbeck.methods.saved import Card

DONE = "DONE"
FOLD = "fold.json"


def held_out(cohort: Cohort, fold: int, count: int) -> Fold:
    """One of a cohort's folds, stored with it and never drawn again."""
    return folds(cohort, count)[fold]


def evaluate_run(
    folder: Path,
    cohort: Cohort,
    subsets: tuple[Subset, ...] | None = None,
    *,
    device: str = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> list[Row]:
    """Score a run: on the cases held out from it if the cohort is its own, else on all cases that can be scored.

    Args:
        folder: a finished run.
        cohort: the cases.
        subsets: sequences to predict from; by default a specialist's own and a generalist's 15.
        device: where the network runs.
        progress: told how many of all predictions are done, and how many there are.

    Raises:
        ModelError: the run is not finished or damaged.
        UsageError: the run serves none of the subsets, was trained on intensities normalised in another way, or has
            learnt from cases of this other cohort.
        DataError: no case can be scored.
    """
    if not folder.is_dir():
        raise ModelError(f"run folder {folder} does not exist: expected a run folder of limbeck train")
    if not (folder / DONE).is_file():
        raise ModelError(f"{folder} is no finished run: it has no {DONE} file")
    predictor = load(folder, device)
    predictor.check_normalisation(cohort.normalisation, cohort.path)
    served, origin = predictor.card.subsets, predictor.card.origin
    chosen = served if subsets is None else tuple(subset for subset in subsets if subset in served)
    if not chosen:
        raise UsageError(f"{folder.name} serves {', '.join(map(str, served))}: none of the subsets asked for")
    cases = _scorable(_unseen(folder, cohort, origin), chosen)
    if not cases:
        raise DataError(f"no case of {cohort.path} has a segmentation and {' or '.join(map(str, chosen[:4]))}")
    return evaluate(
        predictor.segment_case,
        cases,
        chosen,
        run=folder.resolve().name,
        method=predictor.card.method,
        fold=int(origin["fold"]),
        seed=int(origin["seed"]),
        data=cohort.hash,
        progress=progress,
    )


def validation(
    card: Card, cases: Sequence[CohortCase], precision: Precision, device: torch.device
) -> Callable[[Method[Any]], float]:
    """A function that gives a method's mean Dice over validation cases and regions, by the path that predicts.

    A generalist is judged by the four single sequences and by all four together.

    Raises:
        DataError: no case can be scored, so that no checkpoint could be called the best.
    """
    subsets = card.subsets
    if len(subsets) > 1:
        subsets = tuple(subset for subset in subsets if len(subset) in (1, 4))
    scored = _scorable(cases, subsets)
    if not scored:
        raise DataError(f"none of {len(cases)} validation cases has a segmentation and {subsets[0]}")
    bf16 = uses_bf16(precision, device)

    def validate(method: Method[Any]) -> float:
        rows = evaluate(
            Predictor(method, card, device, bf16).segment_case,
            scored,
            subsets,
            ("dice",),
            run="validation",
            method=card.method,
            fold=0,
            seed=0,
        )
        return fmean(row.value for row in rows)

    return validate


def _scorable(cases: Sequence[CohortCase], subsets: Sequence[Subset]) -> list[CohortCase]:
    return [case for case in cases if case.segmented and any(subset.within(case.present) for subset in subsets)]


def learnt_from(folder: Path, cases: Sequence[CohortCase]) -> list[str]:
    """Which of these cases a run has learnt from, or has chosen its checkpoint by.

    Raises:
        ModelError: the run's record of its fold is missing or damaged.
    """
    try:
        parts = json.loads((folder / FOLD).read_text(encoding="utf-8"))
        seen = {**parts["train"], **parts["validation"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{folder / FOLD} is missing or damaged: which cases were seen is not known") from error
    # Name and volumes together: two cohorts of phantoms use the same names for different patients.
    return [case.id for case in cases if case.id in seen and dict(case.label_ml) == seen[case.id]]


def _unseen(folder: Path, cohort: Cohort, origin: dict[str, Any]) -> list[CohortCase]:
    """The test cases of the run's own cohort; of another one all, if the run has learnt from none of them."""
    if origin.get("data") == cohort.hash:
        return [cohort.case(name) for name in held_out(cohort, int(origin["fold"]), int(origin["folds"])).test]
    if known := learnt_from(folder, cohort.cases):
        raise UsageError(
            f"{folder.name} has learnt from {len(known)} cases of {cohort.path} (first: {known[0]}): "
            "score it on the cohort that it was trained on, where its fold is held out"
        )
    return list(cohort.cases)
