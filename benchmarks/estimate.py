"""What the whole matrix on BraTS 2021 would take, on paper: runs x steps x measured seconds, laid out over devices.

python benchmarks/estimate.py                                          with the rates of docs/results/rates.json
python benchmarks/estimate.py --rates a100.json --devices 1,8,64       with those of another device

The matrix: the five papers' methods, dropout and the plain lower bound, each under the common recipe, from all 15
subsets that it can serve, in five folds of 1,251 cases, with the teachers that they need. Nothing is trained here: the
cells are those that `limbeck benchmark` would plan, and every second comes from the file of rates, which says where it
was measured. Rates are JSON, which `rates.py` writes:

    device               what was measured, in words; one network is trained on one of them at a time
    source               by which commands, in words
    import_seconds       a case, on one device
    inference_seconds    a case from one subset
    scoring_seconds      a prediction by all metrics
    dice_seconds         a prediction by Dice alone, as validation does
    step_seconds         {method: a step at the common recipe's crop, batch and width}
    together             {method: cost of 15 students from one teacher's pass over that of 15 apart}, where measured

Prediction and scoring are added up, though scoring overlaps with the next prediction: a bound from above. Reading is
taken to hide behind the steps. Students that learn together are one piece of work, so that with many devices groups of
fewer students end earlier: of 15, 5, 3 and 1 students together the fastest is shown.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from limbeck.anatomy import Subset
from limbeck.benchmark.cells import Cell, plan
from limbeck.benchmark.matrix import Matrix, Scoring
from limbeck.commands.settings import Settings
from limbeck.evaluation.eligible import judged_by
from limbeck.evaluation.metrics import STANDARD
from limbeck.methods import find

ROOT = Path(__file__).parents[1]
METHODS = ("supervised", "dropout", "gkd", "pkdr", "rirn", "mtcmkd", "choi")
CASES, FOLDS = 1251, 5
# As `data.splits` draws them: a fold is tested, of the others an eighth chooses the checkpoint.
VALIDATION_SHARE = 8
STUDENTS = 15
GROUPS = (15, 5, 3, 1)

Put = Callable[[str, str, str], None]


@dataclass(frozen=True)
class Rates:
    """Measured seconds; the fields are those of the file."""

    device: str
    source: str
    import_seconds: float
    inference_seconds: float
    scoring_seconds: float
    dice_seconds: float
    step_seconds: Mapping[str, float]
    together: Mapping[str, float]


@dataclass(frozen=True)
class Work:
    """One piece of work for one device.

    Attributes:
        name: its own.
        training: seconds of steps.
        rest: seconds of validation and scoring.
        after: the work that must be done before it can begin.
        method: what is trained.
        students: how many networks it gives.
    """

    name: str
    training: float
    rest: float = 0.0
    after: str | None = None
    method: str = ""
    students: int = 1

    @property
    def seconds(self) -> float:
        """All of it."""
        return self.training + self.rest


@dataclass(frozen=True)
class Layout:
    """Work laid out over devices.

    Attributes:
        seconds: until the last device is done.
        busy: share of all devices' time until then that is work.
    """

    seconds: float
    busy: float


def lay_out(works: Sequence[Work], devices: int) -> Layout:
    """Hand work to whichever device is free: first what others wait for, then the longest.

    Raises:
        ValueError: work waits for what is not there, or for itself.
    """
    teaching = {work.after for work in works}
    waiting = sorted(works, key=lambda work: (work.name not in teaching, -work.seconds, work.name))
    free = [0.0] * devices
    done: dict[str, float] = {}
    now = 0.0
    while waiting:
        now = max(now, free[0])
        ready = next((work for work in waiting if work.after is None or done.get(work.after, math.inf) <= now), None)
        if ready is None:
            # Until the next teacher is done.
            later = [moment for moment in done.values() if moment > now]
            if not later:
                raise ValueError(f"{waiting[0].name} waits for {waiting[0].after}, which never comes")
            now = min(later)
            continue
        waiting.remove(ready)
        done[ready.name] = now + ready.seconds
        heapq.heapreplace(free, done[ready.name])
    end = max(done.values(), default=0.0)
    return Layout(end, math.fsum(work.seconds for work in works) / (end * devices) if end else 1.0)


def together(works: Sequence[Work], shares: Mapping[str, float], size: int) -> list[Work]:
    """The same work with the students of one teacher in groups, each of them one run.

    Of a student's training a part f can be shared: so a group of k costs 1 - f + f / k of what its students cost apart,
    and f follows from the measured share of 15.

    Args:
        works: one for each network.
        shares: method -> cost of 15 students together over that of 15 apart.
        size: how many students are in a group, at most.
    """
    kept = [work for work in works if work.method not in shares or work.after is None]
    siblings: dict[tuple[str, str], list[Work]] = {}
    for work in works:
        if work.method in shares and work.after is not None:
            siblings.setdefault((work.method, work.after), []).append(work)
    for (method, teacher), students in siblings.items():
        for first in range(0, len(students), size):
            group = students[first : first + size]
            cost = share_of(len(group), shares[method])
            training = cost * math.fsum(work.training for work in group)
            rest = math.fsum(work.rest for work in group)
            kept.append(Work(f"{group[0].name} x{len(group)}", training, rest, teacher, method, len(group)))
    return kept


def share_of(students: int, of_fifteen: float) -> float:
    """What so many students cost together, over what they cost apart, if 15 cost `of_fifteen`."""
    shared = (1 - of_fifteen) * STUDENTS / (STUDENTS - 1)
    return 1 - shared + shared / students


def cells_of(methods: Sequence[str] = METHODS) -> dict[str, Cell]:
    """What `limbeck benchmark` would make of the matrix."""
    recipe = ROOT / "configs" / "common.yaml"
    scoring = Scoring(STANDARD, "strict-1")
    matrix = Matrix(recipe, tuple(methods), Subset.every(), scoring, folds=tuple(range(FOLDS)), recipe=recipe)
    return dict(plan(matrix, lambda method, words: Settings(method).parse(words)[1]).cells)


def work_of(cell: Cell, rates: Rates, cases: int) -> Work:
    """A cell's seconds: its steps, its validations, and the scoring of its test cases from each of its subsets."""
    training = cell.parts["training"]
    tested = cases / FOLDS
    validated = (cases - tested) / VALIDATION_SHARE
    looks = math.ceil(training.steps / training.validate_every) if training.validate_every else 1
    subsets = (cell.subset,) if cell.subset else Subset.every()
    judging = looks * validated * len(judged_by(subsets)) * (rates.inference_seconds + rates.dice_seconds)
    scoring = tested * len(cell.scored) * (rates.inference_seconds + rates.scoring_seconds)
    steps = training.steps * rates.step_seconds[cell.method]
    return Work(cell.name, steps, judging + scoring, cell.teacher, cell.method)


def tell(put: Put, works: Sequence[Work], rates: Rates, cases: int, devices: Sequence[int]) -> None:
    """All rows."""
    put("import", _hours(cases * rates.import_seconds), f"{cases:,} cases x {rates.import_seconds:g} s, once")
    for method, count in Counter(work.method for work in works).items():
        own = [work for work in works if work.method == method]
        steps = own[0].training / rates.step_seconds[method]
        role = "" if find(method).generalist or method in METHODS else ", the teachers of others"
        how = f"{count} runs x {steps:,.0f} steps x {rates.step_seconds[method]:g} s{role}"
        put(f"training, {method}", _hours(math.fsum(work.training for work in own)), how)
    rest = math.fsum(work.rest for work in works)
    how = f"of {len(works)} networks: {rates.inference_seconds:g} s a prediction, {rates.dice_seconds:g} s its Dice, "
    put("validation and scoring", _hours(rest), f"{how}{rates.scoring_seconds:g} s all its metrics")
    put("all, apart", _hours(math.fsum(work.seconds for work in works)), f"{len(works)} networks on one device")
    for count in devices:
        apart = lay_out(works, count)
        put(f"{count} devices, apart", _hours(apart.seconds), f"{apart.busy:.0%} of the time busy; {len(works)} runs")
        if rates.together:
            _tell_together(put, works, rates, count, apart)


def _tell_together(put: Put, works: Sequence[Work], rates: Rates, devices: int, apart: Layout) -> None:
    grouped = {size: together(works, rates.together, size) for size in GROUPS}
    found = {size: lay_out(grouped[size], devices) for size in GROUPS}
    size = min(GROUPS, key=lambda size: found[size].seconds)
    best = found[size]
    told = "; ".join(f"groups of {other} {_hours(found[other].seconds)}" for other in GROUPS if other != size)
    how = f"{best.busy:.0%} busy; {len(grouped[size])} runs, {', '.join(rates.together)} in groups of {size} ({told})"
    put(f"{devices} devices, together", _hours(best.seconds), how)
    put(f"{devices} devices, together / apart", f"{best.seconds / apart.seconds:.2f}", "ratio of the two")


def read_rates(path: Path) -> Rates:
    """The rates of a file; a device without measurements of students together has none of them."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return Rates(**{"together": {}, **content})


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:,.1f} h"


def _put(what: str, value: str, how: str) -> None:
    print(f"| {what} | {value} | {how} |", flush=True)


def main() -> None:
    """Print the estimate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", type=Path, default=ROOT / "docs" / "results" / "rates.json")
    parser.add_argument("--cases", type=int, default=CASES)
    parser.add_argument("--devices", default="1,8,64", help="numbers of devices, with commas between")
    parser.add_argument("--together", type=float, metavar="SHARE", help="for gkd and pkdr, instead of the file's")
    arguments = parser.parse_args()
    rates = read_rates(arguments.rates)
    if arguments.together is not None:
        rates = replace(rates, together=dict.fromkeys(("gkd", "pkdr"), arguments.together))
    works = [work_of(cell, rates, arguments.cases) for cell in cells_of().values()]
    print(f"A device: {rates.device}.\nMeasured by: {rates.source}.\n\n| what | value | how |\n|---|--:|---|")
    tell(_put, works, rates, arguments.cases, [int(count) for count in arguments.devices.split(",")])


if __name__ == "__main__":
    main()
