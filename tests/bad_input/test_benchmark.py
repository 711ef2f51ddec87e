"""Matrices, runs and results that are wrong: exit codes 2 to 5, one line, and what is finished stays as it is."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import yaml
from begun import Begun
from workbench import DATA, MODEL, USAGE, Bench, check_line, contents

from limbeck.benchmark.cells import plan
from limbeck.benchmark.matrix import read
from limbeck.benchmark.survey import Bench as Benchmark
from limbeck.benchmark.work import work
from limbeck.cli import main
from limbeck.commands.benchmark import _parse
from limbeck.data.cohort import Cohort
from limbeck.experiment import digest_of

RESOURCE = 5
SETTINGS = "folds: 3, steps: 1, width: 8, patch: [16, 16, 16], precision: float32, device: cpu"
GOOD = f"methods: [dropout]\nsubsets: [flair]\nmetrics: [dice]\nsettings: {{{SETTINGS}}}\n"


@pytest.fixture(scope="session")
def half(made: Bench, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A benchmark whose only cell is finished, made in this process."""
    folder = tmp_path_factory.mktemp("half")
    (folder / "matrix.yaml").write_text(GOOD)
    matrix = read(folder / "matrix.yaml")
    benchmark = Benchmark(matrix, plan(matrix, _parse), Cohort.open(made.cohort), folder / "out")
    (cell,) = benchmark.plan.cells.values()
    outcome = work(benchmark.task(cell, None, 1))
    assert outcome.state == "done", outcome.problem
    benchmark.record()
    return folder


@pytest.fixture
def out(half: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    shutil.copytree(half / "out", tmp_path / "out")
    (tmp_path / "matrix.yaml").write_text(GOOD)
    return tmp_path / "out"


def refused(bench: Bench, out: Path, code: int, *says: str, data: Path | None = None) -> None:
    before = contents(out.parent)
    words = ["--data", data or bench.cohort, "--out", out, "--workers", "1"]
    bench.refuses(code, "benchmark", out.parent / "matrix.yaml", *words, says=says)
    assert contents(out.parent) == before


@pytest.mark.parametrize(
    ("good", "bad", "says"),
    [
        ("[dropout]", "[droput]", ("'droput'", "did you mean 'dropout'?")),
        ("[flair]", "[flare]", ("'flare'", "did you mean 'flair'?")),
        ("[dice]", "[dise]", ("'dise'", "did you mean 'dice'?")),
        ("subsets", "folds: [3]\nsubsets", ("fold is 3", "0 to 2")),
        ("subsets", "protocol: strikt\nsubsets", ("'strikt'",)),
        ("metrics", "metric", ("'metric'", "did you mean 'metrics'?")),
        ("steps", "stepz", ("'stepz'", "did you mean 'steps'?")),
    ],
)
def test_a_wrong_matrix_is_usage_and_nothing_is_made(good, bad, says, bench, tmp_path) -> None:
    (tmp_path / "matrix.yaml").write_text(GOOD.replace(good, bad))
    refused(bench, tmp_path / "new", USAGE, *says)
    assert not (tmp_path / "new").exists()


def test_a_wrong_way_to_run_is_usage(bench, tmp_path) -> None:
    matrix = tmp_path / "matrix.yaml"
    matrix.write_text(GOOD)
    for words, says in (
        ([], ("no phantoms", "--data COHORT")),
        (["--data", bench.cohort, "--engine", "locl"], ("'locl'",)),
        (["--data", bench.cohort, "--address", "auto"], ("--engine ray",)),
        (["--data", bench.cohort, "--workers", "1000", "--threads", "2"], ("1000 workers of 2 threads",)),
    ):
        bench.refuses(USAGE, "benchmark", matrix, "--out", tmp_path / "new", *words, says=says)
    assert not (tmp_path / "new").exists()


def test_too_few_patients_for_the_folds_is_data(bench, tmp_path) -> None:
    (tmp_path / "matrix.yaml").write_text(GOOD.replace("folds: 3", "folds: 5"))
    refused(bench, tmp_path / "new", DATA, "4 patients")
    refused(bench, tmp_path / "new", DATA, "cohort.json", data=tmp_path)


def appended(name: str, text: str) -> Callable[[Path], None]:
    def spoil(run: Path) -> None:
        path = next(run.glob(name))
        path.write_bytes(path.read_bytes() + text.encode())

    return spoil


def other_steps(run: Path) -> None:
    path = run / "experiment.yaml"
    path.write_text(path.read_text().replace("steps: 1\n", "steps: 2\n"))


def other_steps_and_name(run: Path) -> None:
    """As if the weights were another experiment's."""
    other_steps(run)
    digest = digest_of(yaml.safe_load((run / "experiment.yaml").read_text()))
    run.rename(run.with_name(run.name[:-8] + digest[:8]))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (other_steps, ("was edited", "experiment.yaml")),
        (other_steps_and_name, ("was edited", "weights were trained by")),
        (appended("experiment.yaml", "\x00"), ("is damaged",)),
        (appended("best/*.safetensors", "x"), ("is damaged", "its tensors take")),
        (lambda run: (run / "best" / "checkpoint.json").unlink(), ("no usable checkpoint",)),
        (lambda run: (run / "DONE").write_text('{"best_step": 7}'), ("was edited", "best step is 7")),
        (lambda run: run.rename(run.with_name(run.name[:-8] + "0" * 8)), ("was edited", "00000000")),
    ],
    ids=["setting", "setting-and-name", "no-yaml", "weights", "no-card", "done", "name"],
)
def test_an_edited_run_is_model_and_named(spoil, says, bench, out) -> None:
    (run,) = (out / "runs").iterdir()
    spoil(run)
    refused(bench, out, MODEL, str(out / "runs" / "dropout-any-f0-s0-"), *says)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: text.replace("schema,", "scheme,", 1), ("line 1",)),
        (lambda text: text.replace("\n2,", "\n1,", 1), ("schema '1'",)),
        (lambda text: text.replace(text[-65:-1], "e" * 64), ("scored on data eeeeeeee",)),
    ],
)
def test_results_of_another_schema_or_other_data_are_data(change, says, bench, out) -> None:
    (path,) = (out / "results").iterdir()
    path.write_text(change(path.read_text()))
    refused(bench, out, DATA, path.name, *says)


def test_a_folder_of_other_data_is_data(bench, out, tmp_path) -> None:
    record = out / "matrix.json"
    record.write_text(record.read_text().replace(Cohort.open(bench.cohort).hash, "e" * 64))
    refused(bench, out, DATA, "data eeeeeeee", "another --out")


def test_a_full_disk_is_resource_and_finished_cells_stay(bench, out) -> None:
    # A second seed, whose checkpoint is larger than any file may be.
    matrix = out.parent / "matrix.yaml"
    matrix.write_text(GOOD + "seeds: [0, 1]\n")
    before = contents(out)
    words = ["benchmark", matrix, "--data", bench.cohort, "--out", out, "--workers", "1"]
    process = Begun(*words, first=partial(resource.setrlimit, resource.RLIMIT_FSIZE, (200_000, 200_000)))
    _, said = process.communicate()
    assert process.returncode == RESOURCE
    check_line(said, ("dropout-any-f0-s1", "no space left"))
    after = contents(out)
    touched = {path for path in before if after.get(path) != before[path]}
    assert {Path(path).name for path in touched} <= {"matrix.json"}


def test_the_finished_one_is_taken_as_it_is(bench, out, capsys) -> None:
    words = ["--data", str(bench.cohort), "--out", str(out), "--workers", "1"]
    before = contents(out)
    assert main(["benchmark", str(out.parent / "matrix.yaml"), *words]) == 0
    after = contents(out)
    assert {path: after[path] for path in before} == before
    assert {Path(path).name for path in set(after) - set(before)} == {"results.csv"}
