"""`limbeck train` started several times, by torchrun or srun, trains one run."""

from __future__ import annotations

import csv
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from begun import Begun
from safetensors.torch import load_file

from limbeck.cli import main

FAST = ["--width", "8", "--patch", "16,16,16", "--folds", "3", "--precision", "float32", "--device", "cpu"]
# Adam makes a whole step of a gradient that is only rounding.
DOWN = ["--optimiser", "sgd", "--learning-rate", "1e-2", "--momentum", "0.9"]
LIMIT = 240


@pytest.fixture(scope="module")
def place(coarse_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a cohort and a teacher."""
    root = tmp_path_factory.mktemp("ranks")
    shutil.copytree(coarse_cohort, root / "cohort")
    assert main(words(root, "taught", "supervised", "--subset", "all", "--steps", "1")) == 0
    return root


def words(root: Path, out: str, method: str, *more: str) -> list[str]:
    return ["train", method, "--data", str(root / "cohort"), "--out", str(root / out), *FAST, *more]


def student(root: Path, out: str, *more: str) -> list[str]:
    (teacher,) = (root / "taught").iterdir()
    return words(root, out, "gkd", "--subset", "flair", "--teacher", str(teacher), *DOWN, *more)


def as_tasks(*commands: list[str]) -> list[Begun]:
    """Two tasks as srun starts them, of one command or of one each; the port follows from the job."""
    first, second = commands[0], commands[-1]
    job = str(random.SystemRandom().randrange(10**6))
    step = {"SLURM_JOB_ID": job, "SLURM_STEP_ID": "0", "SLURM_STEP_NODELIST": "127.0.0.1"}
    step |= {"SLURM_STEP_NUM_TASKS": "2", "SLURM_NTASKS": "2"}
    return [
        Begun(*given, **step, SLURM_PROCID=str(rank), SLURM_LOCALID=str(rank))
        for rank, given in enumerate((first, second))
    ]


def ended(tasks: list[Begun]) -> list[tuple[int, str, str]]:
    try:
        said = [task.communicate(timeout=LIMIT) for task in tasks]
    finally:
        for task in tasks:
            task.kill()
    return [(task.returncode or 0, *text) for task, text in zip(tasks, said, strict=True)]


def only_run(folder: Path) -> Path:
    (run,) = folder.iterdir()
    return run


def weights(run: Path) -> dict[str, torch.Tensor]:
    (path,) = sorted((run / "last").glob("weights-*"), key=lambda file: file.stat().st_mtime_ns)[-1:]
    return load_file(path)


def log(run: Path) -> list[list[str]]:
    with (run / "log.csv").open(newline="") as stream:
        return [row for row in csv.reader(stream) if row[2] != "seconds"]


def test_torchrun_gives_the_run_of_one_process_with_the_doubled_batch(place: Path) -> None:
    rhythm = ["--steps", "4", "--epoch-steps", "2", "--validate-every", "2", "--log-every", "2"]
    assert main(student(place, "alone", "--batch", "4", *rhythm)) == 0
    shared = student(place, "shared", "--batch", "2", *rhythm)
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "limbeck"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, *start, *shared], env=environment, capture_output=True, text=True, timeout=LIMIT, check=False
    )
    assert done.returncode == 0, done.stderr
    alone, run = only_run(place / "alone"), only_run(place / "shared")
    # One speaks and writes.
    assert done.stdout.split() == [str(run)]
    assert [row[:3] for row in log(run)] == [row[:3] for row in log(alone)]
    for ours, theirs in zip(log(run)[1:], log(alone)[1:], strict=True):
        assert float(ours[3]) == pytest.approx(float(theirs[3]), rel=1e-4, abs=1e-4)
    for name, value in weights(alone).items():
        torch.testing.assert_close(weights(run)[name], value, rtol=1e-4, atol=1e-5)
    # The number of processes is a part of the experiment, where it is not one.
    assert yaml.safe_load((run / "experiment.yaml").read_text())["processes"] == 2
    assert "processes" not in yaml.safe_load((alone / "experiment.yaml").read_text())
    assert run.name != alone.name


def test_a_lone_process_does_not_go_on_with_the_run_of_two(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run,) = (place / "shared").iterdir()
    (run / "DONE").unlink()
    assert main(["train", "--resume", str(run)]) == 2
    assert "processes was 2, is 1" in capsys.readouterr().err


def test_a_signal_to_one_process_stops_all_after_the_same_step_and_they_go_on_to_the_same_end(place: Path) -> None:
    # Dropout: each process goes on with its own draws.
    rhythm = ["--batch", "1", "--steps", "16", "--save-every", "100", "--validate-every", "0", "--dropout", "0.2"]
    whole, stopped = student(place, "unbroken", *rhythm), student(place, "broken", *rhythm, "--log-every", "1")
    assert [code for code, *_ in ended(as_tasks(whole))] == [0, 0]
    tasks = as_tasks(stopped)
    written = place / "broken"
    until = time.monotonic() + LIMIT
    while time.monotonic() < until and not (list(written.glob("*/log.csv")) and len(log(only_run(written))) > 8):
        time.sleep(0.02)
    tasks[1].send_signal(signal.SIGTERM)
    (first, _, told), (second, _, silent) = ended(tasks)
    assert (first, second) == (128 + signal.SIGTERM,) * 2, told + silent
    assert "limbeck: terminated after step" in told
    assert "terminated" not in silent
    run = only_run(written)
    assert not (run / "DONE").exists()
    assert [code for code, *_ in ended(as_tasks(["train", "--resume", str(run)]))] == [0, 0]
    for name, value in weights(only_run(place / "unbroken")).items():
        assert torch.equal(weights(run)[name], value), name


def test_a_process_that_is_killed_leaves_none_waiting(place: Path) -> None:
    tasks = as_tasks(student(place, "killed", "--steps", "4000", "--log-every", "1"))
    until = time.monotonic() + LIMIT
    while time.monotonic() < until and not list((place / "killed").glob("*/log.csv")):
        time.sleep(0.02)
    tasks[1].kill()
    (first, _, told), _ = ended(tasks)
    assert first == 1, told
