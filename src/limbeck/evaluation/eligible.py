"""Which cases and subsets a run may be scored on: never those that it has learnt from or was chosen by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from limbeck.anatomy import Subset
from limbeck.data.cohort import Cohort, CohortCase
from limbeck.data.splits import FoldRecord, record_hash
from limbeck.data.usable import Usable, partial, usable
from limbeck.errors import ModelError, UsageError
from limbeck.received import read_json

FOLD, TAUGHT = "fold.json", "taught_by.json"

# Name of a case -> the volumes of its labels.
Seen = Mapping[str, Mapping[str, float]]


def unseen(folder: Path, cohort: Cohort, origin: dict[str, Any]) -> list[CohortCase]:
    """The test cases of the run's own cohort; of another one all, if the run has learnt from none of them.

    Raises:
        UsageError: it is another cohort, and the run or a teacher of it has learnt from patients of it.
        ModelError: the run's record of its fold is missing or damaged.
    """
    if origin.get("data") == cohort.hash:
        return [cohort.case(name) for name in fold_of(folder, origin)["test"]]
    if known := learnt_from(folder, cohort.cases):
        raise UsageError(
            f"{folder.name} or a teacher of it has learnt from {len(known)} cases of {cohort.path} "
            f"(first: {known[0]}): score it on the cohort that it was trained on, where its fold is held out"
        )
    return list(cohort.cases)


def learnt_from(folder: Path, cases: Sequence[CohortCase], others: Sequence[CohortCase] = ()) -> list[str]:
    """Which of these cases are of patients whom a run or its teachers have learnt from, or were chosen by.

    A patient is known again by a case that the run has seen, and a case by its name and its labels' volumes. Of a
    cohort that holds none of a patient's cases under the names that the run saw them by, the run's patients are not
    known: names of patients alone prove nothing, since data sets use the same ones for different people.

    Args:
        folder: the run's.
        cases: those in question.
        others: the rest of their cohort, by which a patient may be known too.

    Raises:
        ModelError: the run's record of its fold is missing or damaged.
    """
    records = seen_by(folder)
    # Name and volumes together: two cohorts of phantoms use the same names for different patients.
    known = {
        case.patient for case in (*cases, *others) if any(seen.get(case.id) == dict(case.label_ml) for seen in records)
    }
    return [case.id for case in cases if case.patient in known]


def seen_by(folder: Path) -> list[Seen]:
    """What a run has learnt from or was chosen by, and what each of its teachers has, and theirs.

    Raises:
        ModelError: a record is missing or damaged.
    """
    parts = _fold_record(folder)
    own: Seen = {**parts["train"], **parts["validation"]}
    if not (folder / TAUGHT).is_file():
        return [own]
    try:
        return [own, *(dict(seen) for seen in read_json(folder / TAUGHT))]
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(f"{folder / TAUGHT} is damaged: what its teachers have seen is not known") from error


def fold_of(folder: Path, origin: Mapping[str, Any]) -> FoldRecord:
    """The fold that a run has been trained on, be it of its cohort or of a user's file.

    Raises:
        ModelError: the record is missing or damaged, or is not the one that the run was trained with.
    """
    parts = _fold_record(folder)
    if record_hash(parts) != origin.get("split"):
        raise ModelError(f"{folder / FOLD} was changed: it is not the fold that {folder.name} was trained on")
    return parts


def judged_by(subsets: tuple[Subset, ...]) -> tuple[Subset, ...]:
    """The subsets that validation looks at: a specialist's own, a generalist's single sequences and all four.

    Args:
        subsets: those that the run serves.
    """
    if len(subsets) == 1:
        return subsets
    return tuple(subset for subset in subsets if len(subset) in (1, 4))


def use_in_words(
    learnt: Usable[CohortCase], held: Sequence[CohortCase], subsets: tuple[Subset, ...], privileged: bool
) -> str:
    """What a run learns from and is chosen by; nothing where no case lacks anything.

    Args:
        learnt: the training cases, and what those that are left out lack.
        held: the validation cases.
        subsets: those that the run serves.
        privileged: whether training looks at all sequences, whatever the run serves.
    """
    if len(learnt.cases) == learnt.offered and not partial([*learnt.cases, *held]):
        return ""
    why = " (training looks at all four sequences)" if privileged and learnt.incomplete else ""
    return f"learnt from {learnt}{why}; checkpoint chosen by {usable(held, judged_by(subsets))}"


def _fold_record(folder: Path) -> FoldRecord:
    try:
        parts = read_json(folder / FOLD)
        return {part: dict(parts[part]) for part in ("train", "validation", "test")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{folder / FOLD} is missing or damaged: which cases were seen is not known") from error
