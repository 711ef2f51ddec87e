"""`limbeck train --resume`: a stopped run goes on to the same end, and to no other."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from begun import Begun
from safetensors.torch import load_file, save_file

from limbeck import experiment
from limbeck.cli import main
from limbeck.durable import sha256
from limbeck.lock import held
from limbeck.training import trainer

FAST = ["--width", "8", "--patch", "16,16,16", "--folds", "3", "--batch", "1"]
FAST += ["--precision", "float32", "--device", "cpu"]
# A few windows to a case.
COARSE = ["--spacing", "9"]
LENGTH = ["--steps", "7", "--epoch-steps", "2", "--validate-every", "3", "--save-every", "4", "--log-every", "3"]


class Place:
    """A cohort, a run of a teacher, and a student's run that nothing stopped."""

    def __init__(self, root: Path, phantoms: Path, cohort: Path) -> None:
        self.phantoms, self.cohort = phantoms, shutil.copytree(cohort, root / "cohort")
        teaching = ["train", "supervised", "--subset", "all", "--data", str(self.cohort), "--out", str(root / "taught")]
        assert main([*teaching, *FAST, "--steps", "1"]) == 0
        (self.teacher,) = (root / "taught").iterdir()
        assert main(self.words(root / "whole")) == 0
        (self.whole,) = (root / "whole").iterdir()

    def words(self, out: Path, *more: object, teacher: Path | None = None) -> list[str]:
        given = ["train", "gkd", "--data", self.cohort, "--subset", "flair", "--teacher", teacher or self.teacher]
        return [str(word) for word in (*given, "--out", out, "--dropout", "0.2", *FAST, *LENGTH, *more)]

    def stopped(self, out: Path, at: int = 5, number: int = signal.SIGTERM) -> Path:
        """A run that a signal stopped after so many steps."""
        assert interrupted(at, number, self.words(out)) == 128 + number
        (run,) = out.iterdir()
        return run


def interrupted(at: int, number: int, words: list[str]) -> int:
    """Run a command in this process, which gets a signal while the step after `at - 1` is taken."""
    step = trainer._Loop._step

    def taken(self: Any, batch: Any, progress: Any) -> dict[str, float]:
        if progress.step + 1 == at:
            os.kill(os.getpid(), number)
        return step(self, batch, progress)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer._Loop, "_step", taken)
        return main(words)


def left(run: Path) -> dict[str, Any]:
    """All that decides what a run is, but for how long it took."""
    log = [row for row in csv.reader((run / "log.csv").open()) if row[2] != "seconds"]
    cards = [json.loads((run / part / "checkpoint.json").read_text()) for part in ("last", "best")]
    return {"log": log, "cards": cards, "done": (run / "DONE").read_text(), "as": (run / "experiment.yaml").read_text()}


@pytest.fixture(scope="module")
def place(five_patients: Path, coarse_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("resume"), five_patients, coarse_cohort)


@pytest.mark.parametrize(("at", "number"), [(1, signal.SIGINT), (4, signal.SIGTERM), (6, signal.SIGINT)])
def test_a_signal_saves_the_step_and_resume_needs_the_folder_alone(at, number, place, tmp_path, capsys) -> None:
    run = place.stopped(tmp_path / "runs", at, number)
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and f"after step {at} of 7" in said and f"limbeck train --resume {run}" in said
    assert json.loads((run / "last" / "checkpoint.json").read_text())["step"] == at
    assert not (run / "DONE").exists()
    assert main(["train", "--resume", str(run)]) == 0
    told = capsys.readouterr()
    assert told.out == f"{run}\n" and told.err == ""
    assert left(run) == left(place.whole)
    assert len(json.loads((run / "environment.json").read_text())["sessions"]) == 2


def test_the_same_command_goes_on_too_and_resume_beside_it_begins_nothing(place, tmp_path, capsys) -> None:
    out = tmp_path / "runs"
    assert main(place.words(out, "--resume")) == 2
    assert "nothing to resume" in capsys.readouterr().err and not out.exists()
    run = place.stopped(out)
    capsys.readouterr()
    assert main(place.words(out, "--resume", "--seed", "4", "--steps", "9")) == 2
    said = capsys.readouterr().err
    assert "seed was 0, is 4" in said and "steps was 7, is 9" in said and said.count("\n") == 1
    assert list(out.iterdir()) == [run]
    assert main(place.words(out, "--resume")) == 0
    assert left(run) == left(place.whole)


def test_a_run_that_was_finished_before_is_not_passed_off_as_new(place, tmp_path, capsys) -> None:
    words = place.words(tmp_path / "runs")
    assert main(words) == 0 and "nothing was trained" not in capsys.readouterr().err
    (run,) = (tmp_path / "runs").iterdir()
    for again in (words, ["train", "--resume", str(run)]):
        assert main(again) == 0
        out, err = capsys.readouterr()
        assert out == f"{run}\n" and err.startswith(f"limbeck: note: {run.name} was finished on 20")
        assert err.endswith(": nothing was trained\n")


def test_the_first_run_of_a_process_is_that_of_any_other(place, tmp_path, monkeypatch) -> None:
    """Lightning, which is imported for the device, draws from Python's generator on its way in."""
    original = experiment.fabric_for
    monkeypatch.setattr(experiment, "fabric_for", lambda settings: (random.random(), original(settings))[1])
    assert main(place.words(tmp_path / "runs")) == 0
    (run,) = (tmp_path / "runs").iterdir()
    assert left(run) == left(place.whole)


def test_a_real_process_saves_on_a_signal_and_goes_on_after_kill_9(place, tmp_path) -> None:
    out = tmp_path / "runs"
    words = [*place.words(out), "--steps", "24", "--validate-every", "0"]
    for number in (signal.SIGTERM, signal.SIGKILL):
        process = Begun(*words)
        seen = newest(out)
        end = time.monotonic() + 120
        while newest(out) == seen:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end, "it takes too long"
            time.sleep(0.005)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
        assert process.returncode == (143 if number == signal.SIGTERM else -number), said
    (run,) = out.iterdir()
    assert main(["train", "--resume", str(run)]) == 0
    assert main([*place.words(tmp_path / "whole"), "--steps", "24", "--validate-every", "0"]) == 0
    (whole,) = (tmp_path / "whole").iterdir()
    assert left(run) == left(whole)


def test_a_benchmark_hands_the_signal_on_and_its_workers_save_their_step(place, tmp_path) -> None:
    """No regular checkpoint is due, so one that is there was written for the signal."""
    settings = "folds: 3, steps: 5000, save_every: 5000, validate_every: 0, log_every: 1, batch: 1, width: 8"
    matrix = tmp_path / "matrix.yaml"
    matrix.write_text(
        "methods: [supervised]\nsubsets: [flair]\nmetrics: [dice]\n"
        f"settings: {{{settings}, patch: [16, 16, 16], precision: float32, device: cpu}}\n"
    )
    out = tmp_path / "out"
    process = Begun("benchmark", matrix, "--data", place.cohort, "--out", out, "--workers", "1", "--threads", "1")
    end = time.monotonic() + 120
    while not any(",loss," in path.read_text() for path in out.glob("runs/*/log.csv")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and said.count("\n") == 1, said
    (run,) = (out / "runs").iterdir()
    assert json.loads((run / "last" / "checkpoint.json").read_text())["step"] >= 1


def test_the_demo_stops_after_its_step_too(tmp_path, capsys, monkeypatch) -> None:
    # A process for each of a few phantoms takes longer to start than to draw.
    monkeypatch.setattr("limbeck.phantom.cohort.processors", lambda: 1)
    words = ["demo", "--cases", "4", "--steps", "4", "--spacing", "6", "--patch", "24", "--out", str(tmp_path / "demo")]
    assert interrupted(3, signal.SIGTERM, words) == 143
    assert "after step 3 of 4" in capsys.readouterr().err
    # Its cohort is made: with other phantoms it would be none, and this demo could not go on.
    before = contents(tmp_path / "demo" / "phantoms")
    assert main([*words, "--cases", "5"]) == 2
    assert "holds a demo of 4 phantoms, 5 were asked for" in capsys.readouterr().err
    assert contents(tmp_path / "demo" / "phantoms") == before


def newest(out: Path) -> str:
    return "".join(path.read_text() for path in out.glob("*/last/checkpoint.json"))


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--steps", "9"], 2, ["steps was 7, is 9"]),
        (["--learning-rate", "0.1", "--seed", "2"], 2, ["learning_rate was 0.0001, is 0.1", "seed was 0, is 2"]),
        (["--subset", "t1ce"], 2, ["subset was flair, is t1ce"]),
        (["--soft-label-weight", "3"], 2, ["soft_label_weight was", "is 3"]),
        (["--out", "elsewhere"], 2, ["--out elsewhere", "leave --out out"]),
        (["--data", "nowhere"], 3, ["nowhere"]),
        (["--stepz", "9"], 2, ["stepz", "steps"]),
    ],
)
def test_changed_settings_are_refused_by_name(words, code, says, stopped, capsys) -> None:
    before = contents(stopped)
    assert main(["train", "--resume", str(stopped), *words]) == code
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and all(part in said for part in says), said
    assert contents(stopped) == before


@pytest.fixture(scope="module")
def stopped(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return place.stopped(tmp_path_factory.mktemp("stopped") / "runs")


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def test_another_method_and_another_folder_are_refused(place, stopped, tmp_path, capsys) -> None:
    assert main(["train", "supervised", "--resume", str(stopped)]) == 2
    assert "method was gkd, is supervised" in capsys.readouterr().err
    assert main(["train", "gkd", "--resume", str(tmp_path)]) == 4
    assert "no run folder" in capsys.readouterr().err
    assert main(["train", "--resume"]) == 2


def smaller(place: Place, folder: Path) -> Path:
    """A cohort that lacks a case."""
    for case in sorted(path for path in place.phantoms.iterdir() if path.is_dir())[1:]:
        shutil.copytree(case, folder / "phantoms" / case.name)
    words = ["import", folder / "phantoms", *COARSE, "--workers", "1", "--out", folder / "cohort"]
    assert main([str(word) for word in words]) == 0
    return folder / "cohort"


def test_other_data_are_refused_and_moved_data_are_not(place, stopped, tmp_path, capsys) -> None:
    other = smaller(place, tmp_path)
    before = contents(stopped)
    capsys.readouterr()
    assert main(["train", "--resume", str(stopped), "--data", str(other)]) == 3
    said = capsys.readouterr().err
    assert "data was " in said and "steps" not in said and said.count("\n") == 1
    assert main(["train", "--resume", str(stopped), "--data", str(other), "--steps", "9"]) == 2
    said = capsys.readouterr().err
    assert "data was " in said and "steps was 7, is 9" in said
    assert contents(stopped) == before
    run, cohort = tmp_path / "moved" / "renamed", tmp_path / "moved" / "data"
    shutil.copytree(stopped, run)
    shutil.copytree(place.cohort, cohort)
    assert main(["train", "--resume", str(run), "--data", str(cohort)]) == 0
    assert left(run)["cards"] == left(place.whole)["cards"]


def test_data_that_moved_along_with_the_run_are_found(place, tmp_path, capsys) -> None:
    shutil.copytree(place.cohort, tmp_path / "here" / "cohort")
    shutil.copytree(place.teacher, tmp_path / "here" / "teacher")
    words = place.words(tmp_path / "here" / "runs", teacher=tmp_path / "here" / "teacher")
    words[words.index("--data") + 1] = str(tmp_path / "here" / "cohort")
    assert interrupted(5, signal.SIGTERM, words) == 143
    (tmp_path / "here").rename(tmp_path / "there")
    (run,) = (tmp_path / "there" / "runs").iterdir()
    assert main(["train", "--resume", str(run)]) == 0
    assert left(run)["cards"] == left(place.whole)["cards"]
    (run / "DONE").unlink()
    shutil.rmtree(tmp_path / "there" / "cohort")
    capsys.readouterr()
    assert main(["train", "--resume", str(run)]) == 2
    assert "expected --data" in capsys.readouterr().err


def test_another_teacher_is_refused_even_of_the_same_experiment(place, stopped, tmp_path, capsys) -> None:
    words = ["train", "supervised", "--subset", "all", "--data", place.cohort, "--out", tmp_path, *FAST, "--steps", "2"]
    assert main([str(word) for word in words]) == 0
    (other,) = tmp_path.iterdir()
    capsys.readouterr()
    assert main(["train", "--resume", str(stopped), "--teacher", str(other)]) == 4
    assert "teachers was teacher " in capsys.readouterr().err
    again = tmp_path / "again"
    shutil.copytree(place.teacher, again)
    card = again / "best" / "checkpoint.json"
    content = json.loads(card.read_text())
    (name,) = content["files"]
    weights = load_file(again / "best" / name)
    save_file({key: value * 1.001 for key, value in weights.items()}, again / "best" / name)
    content["files"][name] = sha256(again / "best" / name)
    card.write_text(json.dumps(content))
    assert main(["train", "--resume", str(stopped), "--teacher", str(again)]) == 4
    assert "teacher_weights" in capsys.readouterr().err


def test_another_split_and_another_augmentation_are_refused(place, stopped, tmp_path, capsys, monkeypatch) -> None:
    names = [path.name for path in sorted((place.cohort / "cases").iterdir())]
    fold = json.loads((place.teacher / "fold.json").read_text())
    # The teacher's test cases stay held out.
    test = sorted(fold["test"])
    rest = [name for name in names if name not in test]
    split = tmp_path / "split.json"
    split.write_text(json.dumps({"folds": [{"train": rest[1:], "validation": rest[:1], "test": test}] * 3}))
    assert main(["train", "--resume", str(stopped), "--split", str(split)]) == 3
    assert "split_file was absent" in capsys.readouterr().err
    monkeypatch.setattr(experiment, "Augmentation", lambda: experiment.FLIPS)
    assert main(["train", "--resume", str(stopped)]) == 4
    assert "augmentation was " in capsys.readouterr().err


def edited(change: Callable[[dict[str, Any]], object], run: Path) -> None:
    path = run / "experiment.yaml"
    content = yaml.safe_load(path.read_text())
    change(content)
    path.write_text(yaml.safe_dump(content))


def test_an_edited_record_is_noticed(stopped, tmp_path, capsys) -> None:
    run = tmp_path / "run"
    shutil.copytree(stopped, run)
    edited(lambda content: content.update(steps=9), run)
    assert main(["train", "--resume", str(run), "--data", str(placed(stopped, "data"))]) == 2
    assert "steps was 7, is 9" in capsys.readouterr().err


def placed(run: Path, name: str) -> str:
    return str(json.loads((run / "places.json").read_text())[name][0])


def test_how_often_it_writes_may_change_on_the_way(place, tmp_path) -> None:
    run = place.stopped(tmp_path / "runs")
    assert main(["train", "--resume", str(run), "--save-every", "1", "--workers", "2"]) == 0
    found, right = left(run), left(place.whole)
    assert [card["files"] for card in found["cards"]] == [card["files"] for card in right["cards"]]
    assert found["log"] == right["log"]


def test_a_record_can_be_given_as_a_configuration(place, tmp_path, capsys) -> None:
    record = place.whole / "experiment.yaml"
    given = ["--data", str(place.cohort), "--teacher", str(place.teacher), "--config", str(record)]
    assert main(["train", "gkd", *given, "--out", str(tmp_path)]) == 0
    (run,) = tmp_path.iterdir()
    assert run.name == place.whole.name and left(run) == left(place.whole)
    capsys.readouterr()
    assert main(["train", "supervised", *given, "--out", str(tmp_path)]) == 2
    assert "experiment.yaml" in capsys.readouterr().err


def test_two_processes_do_not_train_one_run(stopped, capsys) -> None:
    before = contents(stopped / "last")
    with held(stopped / "train.lock"):
        assert main(["train", "--resume", str(stopped)]) == 2
    said = capsys.readouterr().err
    assert f"process {os.getpid()}" in said and said.count("\n") == 1
    assert contents(stopped / "last") == before


def test_a_damaged_checkpoint_and_another_machine_are_told(place, tmp_path, capsys) -> None:
    run = place.stopped(tmp_path / "runs")
    (state,) = (run / "last").glob("state-000005-*")
    state.write_bytes(b"short")
    environment = run / "environment.json"
    content = json.loads(environment.read_text())
    content["sessions"][-1] |= {"threads": 64, "torch": "2.10.0"}
    environment.write_text(json.dumps(content))
    capsys.readouterr()
    assert main(["train", "--resume", str(run)]) == 0
    machine, damage = capsys.readouterr().err.splitlines()
    assert "torch was 2.10.0" in machine and "threads was 64, is 1" in machine
    assert state.name in damage and "step 4" in damage
    assert left(run) == left(place.whole)


def test_a_run_before_its_first_checkpoint_begins_and_says_so(place, tmp_path, capsys) -> None:
    run = place.stopped(tmp_path / "runs", 1)
    shutil.rmtree(run / "last")
    capsys.readouterr()
    assert main(["train", "--resume", str(run)]) == 0
    assert "no checkpoint yet" in capsys.readouterr().err
    assert left(run) == left(place.whole)


def test_the_order_of_cases_and_files_does_not_matter(place, tmp_path) -> None:
    """The manifest's order, and the order in which a file system names the files."""
    cohort = tmp_path / "cohort"
    shutil.copytree(place.cohort, cohort)
    manifest = json.loads((cohort / "cohort.json").read_text())
    manifest["cases"].reverse()
    for case in manifest["cases"]:
        case["files"] = dict(reversed(case["files"].items()))
    (cohort / "cohort.json").write_text(json.dumps(manifest))
    (cohort / "splits.json").unlink()
    words = place.words(tmp_path / "runs")
    words[words.index("--data") + 1] = str(cohort)
    assert main(words) == 0
    (run,) = (tmp_path / "runs").iterdir()
    assert left(run) == left(place.whole)


def test_processes_that_read_crops_change_nothing(place, tmp_path) -> None:
    assert main(place.words(tmp_path, "--workers", "2")) == 0
    (run,) = tmp_path.iterdir()
    found, right = left(run), left(place.whole)
    assert found["cards"][0]["files"] == right["cards"][0]["files"]
    assert found["log"] == right["log"]
