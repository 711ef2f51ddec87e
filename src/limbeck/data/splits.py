"""Folds by patient: drawn once from a seed, stored with the cohort, and read back ever after.

A table of results is comparable to another only if both used the same folds; so they are kept, rather than drawn again
by a later version of this code or of NumPy.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from limbeck.data.cohort import Cohort, CohortCase
from limbeck.durable import write_json
from limbeck.errors import DataError, UsageError

_FILE = "splits.json"
_VALIDATION_SHARE = 8


@dataclass(frozen=True)
class Fold:
    """Case ids for training, for choosing the checkpoint, and for the test. No patient is in two of them."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]


def folds(cohort: Cohort, k: int = 5, seed: int = 0) -> list[Fold]:
    """The `k` folds of a cohort's segmented cases; every case is in the test part of exactly one.

    Of the patients outside the test part, an eighth (at least one) are for validation.

    Raises:
        UsageError: `k` is below 2.
        DataError: there are too few patients, or the stored folds are of other cases.
    """
    if k < 2:
        raise UsageError(f"{k} folds: expected at least 2")
    cases = [case for case in cohort.cases if case.segmented]
    path = cohort.path / _FILE
    stored = _stored(path)
    key, names = f"{k} folds, seed {seed}", _hash_of([case.id for case in cases])
    if key in stored:
        if stored[key]["cases"] != names:
            raise DataError(f"{path}: its {key} are of other cases: the cohort was changed; import it again elsewhere")
        return [Fold(*(tuple(fold[part]) for part in ("train", "validation", "test"))) for fold in stored[key]["folds"]]
    drawn = _draw(cases, k, seed)
    write_json(path, {**stored, key: {"cases": names, "folds": [asdict(fold) for fold in drawn]}})
    return drawn


def _draw(cases: Sequence[CohortCase], k: int, seed: int) -> list[Fold]:
    by_patient: dict[str, list[str]] = defaultdict(list)
    for case in cases:
        by_patient[case.patient].append(case.id)
    # Outside every test part there must be a patient for training and one for validation.
    fewest = 4 if k == 2 else k
    if len(by_patient) < fewest:
        raise DataError(
            f"{len(by_patient)} patients with a segmentation: expected at least {fewest} for {k} folds with "
            "training, validation and test apart"
        )
    order = [str(name) for name in np.random.default_rng(seed).permutation(sorted(by_patient))]
    drawn = []
    for number in range(k):
        test = order[number::k]
        rest = [name for name in order if name not in set(test)]
        # Drawn anew for each fold: the head of the same order would serve as validation nearly every time.
        rest = [str(name) for name in np.random.default_rng([seed, number]).permutation(rest)]
        held = max(1, round(len(rest) / _VALIDATION_SHARE))
        train, validation, tested = (
            tuple(sorted(case for name in part for case in by_patient[name]))
            for part in (rest[held:], rest[:held], test)
        )
        drawn.append(Fold(train, validation, tested))
    return drawn


def _stored(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path}: no valid JSON ({error}): restore it, or remove it to draw folds anew") from error
    return content


def _hash_of(ids: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()
