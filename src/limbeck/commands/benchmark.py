"""`limbeck benchmark MATRIX.yaml`: every method on every subset, fold and seed, whatever of it is missing."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limbeck.commands.arguments import at_least, check_folder
from limbeck.commands.bar import bar
from limbeck.errors import PartialError, UsageError
from limbeck.threads import processors

if TYPE_CHECKING:
    from limbeck.benchmark.cells import Plan
    from limbeck.benchmark.matrix import Matrix
    from limbeck.benchmark.schedule import Engine
    from limbeck.benchmark.survey import Bench, Survey
    from limbeck.data.cohort import Cohort


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("matrix", type=Path, metavar="MATRIX.yaml", help="what to compare: docs/how-to/benchmark.md")
    parser.add_argument("--engine", choices=("local", "ray"), default="local", help="processes here, or Ray tasks")
    parser.add_argument("--data", type=Path, help="cohort; without one, the matrix's phantoms are made")
    parser.add_argument("--out", type=Path, default=Path("benchmark"), help="folder for runs and results")
    parser.add_argument("--workers", type=at_least(1), help="cells at a time [processors / threads; with a GPU, 1]")
    parser.add_argument("--threads", type=at_least(1), help="threads of a cell [processors / workers]")
    parser.add_argument("--dry-run", action="store_true", help="show what is missing and how long it takes; no more")
    parser.add_argument("--address", help="of a Ray cluster that runs: auto, or host:port; else one is started here")


def run(arguments: argparse.Namespace) -> int:
    """Plan, look what is there, make the rest, and join the scores."""
    from limbeck.benchmark.cells import check_data, plan  # noqa: PLC0415 - torch
    from limbeck.benchmark.feasible import feasible  # noqa: PLC0415
    from limbeck.benchmark.matrix import read  # noqa: PLC0415
    from limbeck.benchmark.survey import Bench, Survey  # noqa: PLC0415

    if arguments.address and arguments.engine != "ray":
        raise UsageError(f"--address {arguments.address} is for --engine ray")
    check_folder(arguments.out)
    matrix = read(arguments.matrix)
    planned = plan(matrix, _parse)
    workers, threads = _share(arguments.workers, arguments.threads)
    cohort = _cohort(matrix, arguments, workers * threads)
    bench = None
    survey = Survey({}, frozenset())
    if cohort is not None:
        check_data(planned, cohort)
        planned = feasible(planned, cohort)
        bench = Bench(matrix, planned, cohort, arguments.out)
        survey = bench.survey()
    if bench is None or arguments.dry_run:
        return _show(planned, survey, arguments.out, workers, threads)
    for line in planned.left_out:
        print(line)
    return _make(bench, survey, arguments, workers, threads)


def _make(bench: Bench, survey: Survey, arguments: argparse.Namespace, workers: int, threads: int) -> int:
    from limbeck.benchmark.schedule import work_through  # noqa: PLC0415
    from limbeck.benchmark.survey import TABLE  # noqa: PLC0415
    from limbeck.scoring import held_out  # noqa: PLC0415

    cells = bench.plan.cells
    runs = {name: survey.trained[name].folder.name for name in survey.scored}
    failures: Mapping[str, str] = {}
    missing = len(cells) - len(runs)
    # Folds are drawn here, once, and not by every process at the same time.
    for count in {cell.parts["run"].folds for cell in cells.values()}:
        held_out(bench.cohort, 0, count)
    bench.record()
    if missing:
        done = iter(range(1, missing + 1))
        title = f"Cells ({len(runs)} were there)" if runs else "Cells"
        engine = _engine(arguments, workers, threads)
        with bar(title, missing) as advance:
            failures = work_through(
                cells,
                runs,
                lambda cell: bench.task(cell, runs[cell.teacher] if cell.teacher else None, threads),
                engine,
                lambda outcome: advance(next(done)),
            )
    rows = bench.collect(runs)
    print(f"{len(runs)} of {len(cells)} cells, {rows} rows in {bench.out / TABLE}")
    if failures:
        listed = "\n  ".join(f"{name}: {problem}" for name, problem in failures.items())
        raise PartialError(f"{len(failures)} of {len(cells)} cells failed (see {bench.out / 'failures'}):\n  {listed}")
    return 0


def _parse(method: str, words: Sequence[str]) -> Mapping[str, Any]:
    from limbeck.commands.settings import Settings  # noqa: PLC0415 - torch

    places, parts = Settings(method).parse(words)
    for name, value in places.items():
        if value is not None:
            raise UsageError(
                f"setting {name} of {method} is {value!r}: a matrix decides it for each cell: leave it out"
            )
    return parts


def _share(workers: int | None, threads: int | None) -> tuple[int, int]:
    """Workers and threads within the processors; one thread each is the fastest for small networks."""
    import torch  # noqa: PLC0415

    cores = processors()
    if workers is None:
        workers = 1 if torch.cuda.is_available() else max(1, cores // (threads or 1))
    threads = threads or max(1, cores // workers)
    if workers * threads > cores:
        raise UsageError(f"{workers} workers of {threads} threads: expected at most {cores} together, the processors")
    return workers, threads


def _cohort(matrix: Matrix, arguments: argparse.Namespace, workers: int) -> Cohort | None:
    """The cohort; None in a dry run before the phantoms are made."""
    from limbeck.benchmark.patients import Patients  # noqa: PLC0415
    from limbeck.data.cohort import Cohort  # noqa: PLC0415

    if arguments.data:
        return Cohort.open(arguments.data)
    if matrix.phantoms is None:
        raise UsageError(f"{matrix.path} names no phantoms: give --data COHORT")
    patients = Patients(arguments.out, matrix.phantoms)
    return patients.there() if arguments.dry_run else patients.make(workers, bar)


def _engine(arguments: argparse.Namespace, workers: int, threads: int) -> Engine:
    if arguments.engine == "ray":
        from limbeck.benchmark.ray import Ray  # noqa: PLC0415

        return Ray(workers, threads, arguments.address)
    from limbeck.benchmark.local import Local  # noqa: PLC0415

    return Local(workers, threads)


def _show(planned: Plan, survey: Survey, out: Path, workers: int, threads: int) -> int:
    from limbeck.benchmark.forecast import forecast, lines, total_seconds  # noqa: PLC0415

    forecasts = forecast(planned, survey, out, threads)
    print("\n".join(lines(planned, survey, {item.method: item for item in forecasts})))
    seconds, scoring = total_seconds(forecasts, workers)
    note = "" if scoring else "; scoring is not in it, since no run was scored yet"
    print(
        f"\n{len(survey.scored)} of {len(planned.cells)} cells are done; the others take about {seconds / 60:.1f} "
        f"minutes with {workers} workers of {threads} threads{note}"
    )
    return 0
