"""The finished runs that a student learns from, and why one does not suit it."""

from __future__ import annotations

from limbeck.anatomy import Subset
from limbeck.data.cohort import Cohort
from limbeck.data.splits import Fold
from limbeck.errors import ModelError
from limbeck.evaluation.eligible import learnt_from
from limbeck.inference.predictor import Predictor, load
from limbeck.methods import find
from limbeck.methods.saved import DONE
from limbeck.request import Experiment


def teachers_of(experiment: Experiment, cohort: Cohort, fold: Fold) -> dict[str, Predictor]:
    """The teachers of an experiment by role.

    Raises:
        ModelError: one is no finished run, does not fit the student, or has learnt from patients held out here.
    """
    teachers: dict[str, Predictor] = {}
    for role, folder in experiment.teachers.items():
        predictor = load(folder, "cpu")
        # A student's name holds its teacher's experiment, which is the same for a teacher that is still learning.
        if not (folder / DONE).is_file():
            raise ModelError(f"teacher {folder} is no finished run: it has no {DONE} file; finish its training first")
        needed = find(experiment.method).needs[role]
        problems = _misfits(experiment, cohort, predictor, needed)
        # Its knowledge of the student's test cases would flow into the student.
        if known := learnt_from(folder, [cohort.case(name) for name in fold.test], cohort.cases):
            problems.append(
                f"it has learnt from patients of {len(known)} cases held out here (first: {known[0]}), expected none: "
                "train it with the same --fold and --folds"
            )
        if problems:
            raise ModelError(f"teacher {folder} does not fit {experiment.method}: {'; '.join(problems)}")
        teachers[role] = predictor
    return teachers


def _misfits(experiment: Experiment, cohort: Cohort, teacher: Predictor, needed: str) -> list[str]:
    """What is wrong with a teacher, in the reader's words."""
    card = teacher.card
    if card.method != needed:
        return [f"method {card.method}, expected {needed}"]
    wrong = {
        f"sequences {card.subsets[0]}, expected all four": Subset.parse("all") not in card.subsets,
        f"voxels of {card.spacing_mm:g} mm, the cohort has {cohort.spacing_mm:g} mm": card.spacing_mm
        != cohort.spacing_mm,
        f"images {card.normalisation}, the cohort's are {cohort.normalisation}": card.normalisation
        != cohort.normalisation,
    }
    problems = [text for text, applies in wrong.items() if applies]
    return problems + find(experiment.method).misfits(experiment.method_settings, teacher.method.settings)
