"""A small matrix by the command line: made once, whoever is killed meanwhile, and made the same."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from begun import Begun

from limbeck.anatomy import Subset
from limbeck.cli import main
from limbeck.evaluation.table import read, write

MATRIX = """
phantoms: {cases: 4, spacing: 6, seed: 1}
methods: [gkd, dropout]
subsets: [flair, t1ce]
metrics: [dice, volume_error_ml]
settings: {folds: 3, steps: 3, save_every: 1, batch: 1, width: 8, patch: [16, 16, 16], precision: float32, device: cpu}
"""
TEACHER = "supervised-flair+t1+t1ce+t2-f0-s0"
CELLS = {TEACHER, "dropout-any-f0-s0", "gkd-flair-f0-s0", "gkd-t1ce-f0-s0"}
ONE = ["--workers", "1", "--threads", "1"]


class Made:
    """A benchmark that nothing disturbed, and the means to make it again."""

    def __init__(self, root: Path) -> None:
        self.matrix, self.whole = root / "matrix.yaml", root / "whole"
        self.matrix.write_text(MATRIX)
        assert main(["benchmark", str(self.matrix), "--out", str(self.whole), *ONE]) == 0

    def begun(self, out: Path, *words: str, **environment: str) -> Begun:
        given = ["benchmark", self.matrix, "--data", self.whole / "cohort", "--out", out, *ONE, *words]
        return Begun(*given, **environment)

    def same(self, out: Path) -> None:
        assert (out / "results.csv").read_bytes() == (self.whole / "results.csv").read_bytes()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("benchmark"))


def until(there: Callable[[], int], process: Begun, seconds: float = 300) -> int:
    """What a function gives as soon as it gives something."""
    end = time.monotonic() + seconds
    while not (found := there()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.005)
    return found


def holder(out: Path, pattern: str = "*") -> int:
    """The process that has a cell in hand, or 0."""
    texts = [path.read_text().strip() for path in (out / "locks").glob(f"{pattern}.lock")]
    return next((int(text) for text in texts if text), 0)


def times(folder: Path) -> dict[str, int]:
    return {
        str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"
    }


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    # A zombie that nobody has waited for is dead.
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_every_cell_is_trained_and_scored_and_the_teacher_once(made) -> None:
    runs = {path.name for path in (made.whole / "runs").iterdir()}
    assert {name.rpartition("-")[0] for name in runs} == CELLS and len(runs) == len(CELLS)
    assert {path.stem for path in (made.whole / "results").iterdir()} == runs
    rows = read(made.whole / "results.csv")
    seen = {(row.method, str(row.subset)) for row in rows}
    singles = {(method, subset) for method in ("gkd", "dropout") for subset in ("flair", "t1ce")}
    assert seen == singles | {("supervised", str(Subset.parse("all")))}
    assert {row.metric for row in rows} == {"dice", "volume_error_ml"}
    assert len(rows) == 5 * 2 * 3 * 2
    assert not (made.whole / "failures").exists() and not list((made.whole / "journals").iterdir())


def test_a_second_start_takes_no_step(made, capsys) -> None:
    before = times(made.whole)
    assert main(["benchmark", str(made.matrix), "--out", str(made.whole), *ONE]) == 0
    assert times(made.whole) == before
    assert "4 of 4 cells" in capsys.readouterr().out


def test_what_is_trained_again_is_scored_again(made, tmp_path) -> None:
    """A run that was moved away comes back under its own name, beside the scores that it had."""
    out = tmp_path / "out"
    shutil.copytree(made.whole, out)
    (run,) = (out / "runs").glob("dropout-*")
    scores = out / "results" / f"{run.name}.csv"
    write(scores, [replace(row, value=0.123) for row in read(scores)])
    shutil.rmtree(run)
    assert main(["benchmark", str(made.matrix), "--data", str(made.whole / "cohort"), "--out", str(out), *ONE]) == 0
    made.same(out)


def test_a_narrower_matrix_has_nothing_to_do_and_a_wider_one_keeps_what_there_was(made, tmp_path, capsys) -> None:
    out, matrix = tmp_path / "out", tmp_path / "matrix.yaml"
    shutil.copytree(made.whole, out)
    before = times(out / "results")
    words = ["benchmark", str(matrix), "--data", str(made.whole / "cohort"), "--out", str(out), *ONE]
    matrix.write_text(MATRIX.replace("[dice, volume_error_ml]", "[dice]").replace("[flair, t1ce]", "[flair]"))
    assert main(words) == 0
    assert times(out / "results") == before
    narrow = read(out / "results.csv")
    assert {(row.metric, str(row.subset)) for row in narrow if row.method != "supervised"} == {("dice", "flair")}
    matrix.write_text(MATRIX.replace("[dice, volume_error_ml]", "[precision]").replace("[gkd, dropout]", "[dropout]"))
    assert main(words) == 0
    assert {row.metric for row in read(out / "results.csv")} == {"precision"}
    (scores,) = (out / "results").glob("dropout-*")
    assert {row.metric for row in read(scores)} == {"dice", "volume_error_ml", "precision"}


def test_fewer_phantoms_want_another_folder(made, tmp_path, capsys) -> None:
    matrix = tmp_path / "matrix.yaml"
    matrix.write_text(MATRIX.replace("cases: 4", "cases: 3"))
    before = times(made.whole)
    assert main(["benchmark", str(matrix), "--out", str(made.whole), *ONE]) == 2
    assert "holds 4 phantoms, 3 were asked for" in capsys.readouterr().err
    assert times(made.whole) == before


def test_a_dry_run_tells_what_is_missing_and_how_long_it_takes_and_writes_nothing(made, tmp_path, capsys) -> None:
    assert main(["benchmark", str(made.matrix), "--out", str(tmp_path / "new"), "--dry-run"]) == 0
    assert not (tmp_path / "new").exists()
    said = capsys.readouterr().out
    assert {line.split()[1] for line in said.splitlines() if line.startswith("missing ")} == CELLS
    assert said.count("measured now") == 3 and "scoring is not in it" in said
    before = times(made.whole)
    more = made.matrix.with_name("more.yaml")
    more.write_text(MATRIX.replace("[flair, t1ce]", "[flair, t1ce, t2]"))
    assert main(["benchmark", str(more), "--out", str(made.whole), "--dry-run"]) == 0
    assert times(made.whole) == before
    said = capsys.readouterr().out
    # The generalist is trained, and was not scored on the third subset.
    states = dict(
        reversed(line.split()) for line in said.splitlines() if line.startswith(("done ", "trained ", "missing "))
    )
    assert states["dropout-any-f0-s0"] == "trained"
    assert {name for name, state in states.items() if state == "missing"} == {"gkd-t2-f0-s0"}
    assert re.search(r"gkd +3 +1 +1 +0\.\d{3} .*from logs", said)
    assert "scoring is not in it" not in said


def test_killed_at_any_moment_and_started_again_beside_another_it_makes_the_same_table(made, tmp_path) -> None:
    out = tmp_path / "out"
    # In training, and between training and scores.
    for moment in ("runs/supervised-*/last/checkpoint.json", "runs/gkd-*/DONE"):
        process = made.begun(out)
        until(lambda moment=moment: len(list(out.glob(moment))), process)
        worker = holder(out)
        process.kill()
        process.communicate()
        assert not (out / "results.csv").exists()
        end = time.monotonic() + 20
        while worker and alive(worker):
            assert time.monotonic() < end, "a process outlives the benchmark that it works for"
            time.sleep(0.05)
    finished = {path: path.stat().st_mtime_ns for path in out.glob("results/*.csv")}
    assert finished
    pair = [made.begun(out) for _ in range(2)]
    assert [(process.communicate(), process.returncode)[1] for process in pair] == [0, 0]
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    made.same(out)
    assert {path.name for path in (out / "runs").iterdir()} == {path.name for path in (made.whole / "runs").iterdir()}


def test_a_killed_process_fails_its_cell_alone_and_the_next_start_makes_it(made, tmp_path) -> None:
    out = tmp_path / "out"
    process = made.begun(out)
    os.kill(until(lambda: holder(out, "dropout-*"), process), signal.SIGKILL)
    _, said = process.communicate()
    assert process.returncode == 6
    assert "1 of 4 cells failed" in said and "dropout-any-f0-s0: its process was killed by SIGKILL" in said
    assert len(list((out / "results").iterdir())) == 3
    again = made.begun(out)
    assert again.communicate()[1] == "" and again.returncode == 0
    made.same(out)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interruption_stops_all_processes_and_is_told_by_the_exit_code(number, made, tmp_path) -> None:
    process = made.begun(tmp_path)
    worker = until(lambda: holder(tmp_path), process)
    process.send_signal(number)
    _, said = process.communicate()
    assert process.returncode == 128 + number
    assert said.count("\n") == 1 and "the same command goes on" in said
    assert not alive(worker)


def test_on_ray_a_killed_worker_loses_nothing_and_the_table_is_the_same(made, tmp_path) -> None:
    out = tmp_path / "out"
    # Ray would let everything else on a busy machine go first.
    process = made.begun(out, "--engine", "ray", "--workers", "2", RAY_worker_niceness="0")
    worker = until(lambda: holder(out, "gkd-*"), process)
    before = {path: path.stat().st_mtime_ns for path in out.glob("results/*.csv")}
    os.kill(worker, signal.SIGKILL)
    _, said = process.communicate()
    assert process.returncode == 0, said
    assert {path: path.stat().st_mtime_ns for path in before} == before
    made.same(out)


def test_without_ray_its_engine_names_the_extra(made, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # an import of it fails, as where it is not installed
    words = ["--data", str(made.whole / "cohort"), "--out", str(tmp_path), "--engine", "ray"]
    assert main(["benchmark", str(made.matrix), *words]) == 2
    assert "pip install 'limbeck[ray]'" in capsys.readouterr().err
