"""The matrix taken apart: one cell for each network to train and score, teachers before those who learn from them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limbeck.anatomy import Subset
from limbeck.benchmark.matrix import Matrix
from limbeck.data.cohort import Cohort
from limbeck.errors import UsageError
from limbeck.experiment import Experiment
from limbeck.experiment import plan as plan_run
from limbeck.methods import find

# Method and words of settings in, settings by section out.
Parse = Callable[[str, Sequence[str]], Mapping[str, Any]]


@dataclass(frozen=True)
class Cell:
    """One network of the matrix.

    Attributes:
        method: name in METHODS.
        subset: what a specialist sees; None for a generalist.
        parts: settings by section.
        scored: the subsets that it is scored on; none for a teacher whom no test case could show all sequences.
        teacher: the cell that teaches it, by name.
    """

    method: str
    subset: Subset | None
    parts: Mapping[str, Any]
    scored: tuple[Subset, ...]
    teacher: str | None = None

    @property
    def name(self) -> str:
        """`<method>-<subset>-f<fold>-s<seed>`: the run's name without its hash."""
        return f"{self.method}-{self.subset or 'any'}-f{self.parts['run'].fold}-s{self.parts['run'].seed}"

    def experiment(self, teacher: Path | None) -> Experiment:
        """What `limbeck train` would be asked for.

        Raises:
            UsageError: a setting does not suit the method or its network.
        """
        return plan_run(self.method, str(self.subset) if self.subset else None, teacher, self.parts)


@dataclass(frozen=True)
class Plan:
    """All cells in the order in which they are begun, and what the matrix asks for and no method can give.

    Attributes:
        cells: by name; a teacher stands before its students.
        left_out: a line for each method that cannot serve all subsets.
    """

    cells: Mapping[str, Cell]
    left_out: tuple[str, ...]


def plan(matrix: Matrix, parse: Parse) -> Plan:
    """The cells of a matrix; every one could be trained.

    Args:
        matrix: what to compare.
        parse: reads a method's settings.

    Raises:
        UsageError: a setting is unknown or out of range, a student cannot learn from its teacher, or nothing is left.
    """
    planner = _Planner(matrix, parse)
    for seed in matrix.seeds:
        for fold in matrix.folds:
            for method in matrix.methods:
                planner.add_all(method, fold, seed)
    if not planner.cells:
        raise UsageError(f"{matrix.path}: no cell is left: {'; '.join(planner.left_out.values())}")
    teachers = {cell.teacher for cell in planner.cells.values()}
    # Scoring a generalist takes as long as all specialists of a method; begun last, it would end alone.
    ordered = sorted(planner.cells.values(), key=lambda cell: (cell.name not in teachers, -len(cell.scored)))
    return Plan({cell.name: cell for cell in ordered}, tuple(planner.left_out.values()))


def check_data(plan: Plan, cohort: Cohort) -> None:
    """Refuse data on which a method of the plan would not learn.

    Raises:
        UsageError: its intensities were brought to another scale than a method wants.
    """
    for cell in plan.cells.values():
        wanted = cell.parts["method_settings"].normalisation
        if cohort.normalisation != wanted:
            raise UsageError(f"images of {cohort.path} are {cohort.normalisation}, {cell.method} needs {wanted}")


class _Planner:
    def __init__(self, matrix: Matrix, parse: Parse) -> None:
        self.matrix, self.parse = matrix, parse
        self.cells: dict[str, Cell] = {}
        self.left_out: dict[str, str] = {}
        self._parsed: dict[str, Mapping[str, Any]] = {}

    def add_all(self, method: str, fold: int, seed: int) -> None:
        kind = find(method)
        if kind.generalist:
            self._add(method, None, fold, seed)
            return
        refused: list[Subset] = []
        reason = ""
        for subset in self.matrix.subsets:
            try:
                kind.check(subset)
            except UsageError as error:
                refused.append(subset)
                reason = str(error)
            else:
                self._add(method, subset, fold, seed)
        if refused:
            self.left_out[method] = f"left out: {len(refused)} of the subsets for {method} ({reason})"

    def _add(self, method: str, subset: Subset | None, fold: int, seed: int) -> str:
        """Add a cell, and its teacher's before it; returns its name."""
        kind = find(method)
        provider = next(iter(kind.needs.values()), None)
        teacher = self._add(provider, _complete(provider), fold, seed) if provider else None
        parts = self._parts(method, fold, seed)
        scored = (subset,) if subset else self.matrix.subsets
        cell = Cell(method, subset, parts, scored, teacher)
        if cell.name not in self.cells:
            cell.experiment(Path("teacher") if teacher else None)
            if teacher:
                taught_by = self.cells[teacher]
                if problems := kind.misfits(parts["method_settings"], taught_by.parts["method_settings"]):
                    raise UsageError(f"{method} cannot learn from {taught_by.method}: {'; '.join(problems)}")
            self.cells[cell.name] = cell
        return cell.name

    def _parts(self, method: str, fold: int, seed: int) -> Mapping[str, Any]:
        if method not in self._parsed:
            self._parsed[method] = self.parse(method, self.matrix.words(method))
        parts = self._parsed[method]
        return {**parts, "run": dataclasses.replace(parts["run"], fold=fold, seed=seed)}


def _complete(teacher: str) -> Subset | None:
    """What a teacher is trained for, so that it can look at all four sequences."""
    return None if find(teacher).generalist else Subset.parse("all")
