"""Folds by patient: drawn once from a seed and stored with the cohort, or given in a file of the user's.

A table of results is comparable to another only if both used the same folds; so they are kept, rather than drawn again
by a later version of this code or of NumPy.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from limbeck.data.cohort import Cohort, CohortCase
from limbeck.durable import write_json
from limbeck.errors import DataError, UsageError, nearest
from limbeck.received import read_json

_FILE = "splits.json"
_VALIDATION_SHARE = 8
_PARTS = ("train", "validation", "test")
_RESTORE = "restore it, or remove it to draw folds anew"

# Part -> case -> its label volumes, by which a case is known again in another cohort.
FoldRecord: TypeAlias = dict[str, dict[str, dict[str, float]]]


@dataclass(frozen=True)
class Fold:
    """Case ids for training, for choosing the checkpoint, and for the test. No patient is in two of them."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]

    def record(self, cohort: Cohort) -> FoldRecord:
        """What a run keeps of its fold."""
        return {
            part: {name: dict(cohort.case(name).label_ml) for name in names} for part, names in asdict(self).items()
        }


@dataclass(frozen=True)
class Split:
    """The folds of a user's file.

    Attributes:
        path: the file.
        folds: each with its three parts, sorted.
        hash: SHA-256 of the folds, whatever the order of names and the spacing in the file.
    """

    path: Path
    folds: tuple[Fold, ...]
    hash: str

    def fold(self, number: int, count: int) -> Fold:
        """One of the folds.

        Raises:
            UsageError: the file holds another number of folds than the setting says.
        """
        if count != len(self.folds):
            held = len(self.folds)
            raise UsageError(
                f"split {self.path} has {held} in its folds, setting folds is {count}: give --folds {held}"
            )
        return self.folds[number]


def folds(cohort: Cohort, k: int = 5, seed: int = 0) -> list[Fold]:
    """The `k` folds of a cohort's segmented cases; every case is in the test part of exactly one.

    Of the patients outside the test part, an eighth (at least one) are for validation. Where patients lack sequences,
    those who lack the same are dealt to the test parts in turn, and one of those with the most sequences is among the
    validation patients, if another is left to train on.

    Raises:
        UsageError: `k` is below 2.
        DataError: there are too few patients; or the stored folds are damaged, of other cases, or part a patient.
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
        if len(stored[key]["folds"]) != k:
            raise DataError(f"{path}: its {key} are {len(stored[key]['folds'])}: {_RESTORE}")
        return _kept(f"{path}, {key}", stored[key]["folds"], {case.id: case for case in cohort.cases})
    drawn = _draw(cases, k, seed)
    write_json(path, {**stored, key: {"cases": names, "folds": [asdict(fold) for fold in drawn]}})
    return drawn


def record_hash(record: Mapping[str, Any]) -> str:
    """The SHA-256 of a fold's record, or of folds."""
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def read_split(path: Path, cohort: Cohort) -> Split:
    """A user's folds: `{"folds": [{"train": [...], "validation": [...], "test": [...]}, ...]}`, by names of cases.

    Where a fold names no validation cases, an eighth of its training patients (at least one) becomes them, chosen by a
    hash of their names: the same ones always.

    Raises:
        DataError: the file is missing or no such JSON, a name is unknown, has no segmentation or stands twice, or a
            patient has cases in two parts of a fold; the message names them.
    """
    try:
        content = read_json(path, links=True)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"split {path} cannot be read ({reason}): expected a JSON file of folds") from error
    entries = content.get("folds") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not entries or set(content) != {"folds"}:
        raise DataError(f'split {path}: expected {{"folds": [...]}}, with "train" and "test" in each')
    known = {case.id: case for case in cohort.cases}
    read = tuple(_given(f"split {path}, fold {number}", entry, known) for number, entry in enumerate(entries))
    return Split(path, read, record_hash({"folds": [asdict(fold) for fold in read]}))


def _given(where: str, entry: Any, known: Mapping[str, CohortCase], needed: Sequence[str] = ("train", "test")) -> Fold:
    """A fold of a file, checked and sorted."""
    if not isinstance(entry, dict) or not set(needed) <= set(entry) <= set(_PARTS):
        found = ", ".join(map(str, entry)) if isinstance(entry, dict) else type(entry).__name__
        raise DataError(f"{where}: found {found or 'nothing'}; expected train, test and, if you like, validation")
    parts = {part: _names(f"{where}, {part}", entry[part], known) for part in _PARTS if part in entry}
    patients = {part: {known[name].patient for name in names} for part, names in parts.items()}
    for first, second in combinations(parts, 2):
        if both := sorted(set(parts[first]) & set(parts[second])):
            raise DataError(f"{where}: case {both[0]} is in {first} and in {second}: expected it in one part")
        if both := sorted(patients[first] & patients[second]):
            one, other = (
                next(name for name in parts[part] if known[name].patient == both[0]) for part in (first, second)
            )
            raise DataError(
                f"{where}: patient {both[0]} is in {first} ({one}) and in {second} ({other}): "
                "expected all cases of a patient in one part"
            )
    if "validation" in parts:
        return Fold(**parts)
    return _with_validation(where, parts["train"], parts["test"], known)


def _names(where: str, names: Any, known: Mapping[str, CohortCase]) -> tuple[str, ...]:
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise DataError(f"{where}: expected a list of names of cases, with at least one")
    counts = Counter(names)
    for name in names:
        if name not in known:
            raise DataError(f"{where}: no case {name!r} among {len(known)} of the cohort{nearest(name, known)}")
        if not known[name].segmented:
            raise DataError(f"{where}: case {name} has no segmentation: expected cases to learn from and to score")
        if counts[name] > 1:
            raise DataError(f"{where}: case {name} stands {counts[name]} times: expected it once")
    return tuple(sorted(names))


def _with_validation(where: str, names: Sequence[str], test: tuple[str, ...], known: Mapping[str, CohortCase]) -> Fold:
    """Part the training cases. By a hash, since a random generator may give another order in a later version."""
    patients = sorted({known[name].patient for name in names}, key=lambda name: hashlib.sha256(name.encode()).digest())
    if len(patients) < 2:
        raise DataError(f"{where}: {len(patients)} patients to train on and no validation cases: expected at least 2")
    held = set(patients[: max(1, round(len(patients) / _VALIDATION_SHARE))])
    train, validation = (
        tuple(name for name in names if (known[name].patient in held) is wanted) for wanted in (False, True)
    )
    return Fold(train, validation, test)


def _draw(cases: Sequence[CohortCase], k: int, seed: int) -> list[Fold]:
    by_patient: dict[str, list[str]] = defaultdict(list)
    for case in cases:
        by_patient[case.patient].append(case.id)
    # Outside every test part there must be a patient for training and one for validation.
    fewest = 4 if k == 2 else k
    if len(by_patient) < fewest:
        raise DataError(
            f"{len(by_patient)} patients with a segmentation: expected at least {fewest} for {k} folds with "
            "training, validation and test apart; ask for fewer folds, or import more patients"
        )
    order = [str(name) for name in np.random.default_rng(seed).permutation(sorted(by_patient))]
    lacks = _lacks(cases)
    least = min(lacks.values())
    # Else chance alone may leave a fold without a patient to test, or to choose, a teacher by.
    order.sort(key=lambda name: lacks[name])
    drawn = []
    for number in range(k):
        test = order[number::k]
        rest = [name for name in order if name not in set(test)]
        # Drawn anew for each fold: the head of the same order would serve as validation nearly every time.
        rest = [str(name) for name in np.random.default_rng([seed, number]).permutation(rest)]
        fullest = [name for name in rest if lacks[name] == least]
        if fullest:
            # The only one is for training, the first of several for validation.
            rest.insert(0 if len(fullest) > 1 else len(rest), rest.pop(rest.index(fullest[0])))
        held = max(1, round(len(rest) / _VALIDATION_SHARE))
        train, validation, tested = (
            tuple(sorted(case for name in part for case in by_patient[name]))
            for part in (rest[held:], rest[:held], test)
        )
        drawn.append(Fold(train, validation, tested))
    return drawn


def _lacks(cases: Sequence[CohortCase]) -> dict[str, tuple[int, ...]]:
    """Patient -> how many sequences the fullest of the cases lacks, and which; those who lack nothing sort first."""
    lacks: dict[str, tuple[int, ...]] = {}
    for case in cases:
        absent = tuple(int(not there) for there in case.present)
        own = (sum(absent), *absent)
        lacks[case.patient] = min(own, lacks.get(case.patient, own))
    return lacks


def _stored(path: Path) -> dict[str, Any]:
    """What is stored under each number of folds and seed: the hash of the cases, and as many folds."""
    try:
        content = read_json(path, links=True)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"{path}: no valid JSON ({reason}): {_RESTORE}") from error
    entries = content.values() if isinstance(content, dict) else [None]
    for entry in entries:
        if not isinstance(entry, dict) or set(entry) != {"cases", "folds"} or not isinstance(entry["folds"], list):
            raise DataError(f"{path}: holds something else than folds: {_RESTORE}")
    return dict(content)


def _kept(where: str, entries: Sequence[Any], known: Mapping[str, CohortCase]) -> list[Fold]:
    """Stored folds. Their cases may be other patients' since, by another import into the same folder."""
    try:
        return [_given(f"{where}, fold {number}", entry, known, _PARTS) for number, entry in enumerate(entries)]
    except DataError as error:
        raise DataError(f"{error}; remove the file to draw folds anew, or import into a new folder") from error


def _hash_of(ids: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()
