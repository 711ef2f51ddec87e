"""What of a plan a cohort can give: in one where patients lack sequences, not every fold can serve every subset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from limbeck.anatomy import Subset
from limbeck.benchmark.cells import Cell, Plan
from limbeck.data.cohort import Cohort, CohortCase
from limbeck.data.dataset import eligible
from limbeck.data.usable import counts, partial, usable
from limbeck.errors import DataError
from limbeck.evaluation.eligible import judged_by
from limbeck.methods import find
from limbeck.scoring import held_out


def feasible(plan: Plan, cohort: Cohort) -> Plan:
    """The cells that the cohort's cases suffice for, each with the subsets that it can be scored on.

    A teacher whom no test case could show all sequences stays, unscored, for its students' sake.

    Raises:
        DataError: no cell is left, or there are too few patients for the folds.
    """
    if not partial([case for case in cohort.cases if case.segmented]):
        return plan
    teachers = {cell.teacher for cell in plan.cells.values()}
    cells: dict[str, Cell] = {}
    reasons: dict[str, list[str]] = {}
    for name, cell in plan.cells.items():
        train, validation, test = _parts(cell, cohort)
        found = counts(test, cell.scored)
        scored = tuple(subset for subset in cell.scored if found[subset])
        reason = _untrainable(cell, cells, train, validation)
        if not reason and (scored or name in teachers):
            cells[name] = replace(cell, scored=scored)
        for subset in set(cell.scored) - set(scored) if not reason else ():
            reasons.setdefault(f"no test case of fold {cell.parts['run'].fold} has {subset}", []).append(name)
        if reason:
            reasons.setdefault(reason, []).append(name)
    taught_by = {cell.teacher for cell in cells.values()}
    cells = {name: cell for name, cell in cells.items() if cell.scored or name in taught_by}
    lines = [f"left out, since {reason}: {', '.join(names)}" for reason, names in sorted(reasons.items())]
    if not cells:
        raise DataError(
            f"{cohort.path}: no cell is left: {'; '.join(lines)}: expected cases with the sequences asked for"
        )
    return Plan(cells, (*plan.left_out, *lines))


def _parts(cell: Cell, cohort: Cohort) -> tuple[list[CohortCase], list[CohortCase], list[CohortCase]]:
    run = cell.parts["run"]
    fold = held_out(cohort, run.fold, run.folds)
    train, validation, test = (
        [cohort.case(name) for name in names] for names in (fold.train, fold.validation, fold.test)
    )
    return train, validation, test


def _untrainable(cell: Cell, before: dict[str, Cell], train: Sequence[CohortCase], held: Sequence[CohortCase]) -> str:
    """Why a cell cannot be trained, in words; nothing if it can.

    Args:
        cell: the cell.
        before: the cells that are trained before it, its teacher's among them.
        train: the training cases of its fold.
        held: the validation cases.
    """
    if cell.teacher and cell.teacher not in before:
        return f"{cell.teacher}, the teacher, is left out"
    subsets = (cell.subset,) if cell.subset else Subset.every()
    fold = cell.parts["run"].fold
    try:
        eligible(train, subsets, find(cell.method).privileged)
    except DataError as error:
        return f"in fold {fold}, {error}"
    judged = judged_by(subsets)
    return "" if usable(held, judged).cases else f"no validation case of fold {fold} has {judged[0]}"
