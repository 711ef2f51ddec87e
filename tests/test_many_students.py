"""`limbeck train --subsets`: every student becomes the run that it would be alone, from one pass of the teacher."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from test_resume_command import FAST, LENGTH, Place, left

from limbeck import experiment
from limbeck.cli import main
from limbeck.commands.settings import Settings
from limbeck.errors import PartialError
from limbeck.lock import held
from limbeck.methods.shared_teacher import SharedTeacher
from limbeck.together import plan_together
from limbeck.training import trainer
from limbeck.training.optimise import DivergedError

# What is promised here holds at any depth.
pytestmark = pytest.mark.usefixtures("shallow_unet")
SUBSETS = ("flair", "t1ce", "flair+t1")


class Killed(BaseException):
    """As good as kill -9: nothing runs after it."""


@pytest.fixture(scope="module")
def place(five_patients: Path, coarse_cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("many"), five_patients, coarse_cohort)


def words(place: Place, out: Path, *more: object, subsets: str = ",".join(SUBSETS)) -> list[str]:
    alone = place.words(out, *more)
    at = alone.index("--subset")
    return [*alone[:at], "--subsets", subsets, *alone[at + 2 :]]


@pytest.fixture(scope="module")
def alone(place: Place, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What each run leaves that is trained by itself, by the name of its folder."""
    out = tmp_path_factory.mktemp("alone")
    for subset in SUBSETS:
        given = place.words(out)
        given[given.index("--subset") + 1] = subset
        assert main(given) == 0
    return everything(out)


def interrupted(at: int, words: list[str]) -> int:
    """Run a command in this process, which gets one signal while its second student takes a step."""
    step, asked = trainer._Loop._step, []

    def taken(self: Any, batch: Any, progress: Any) -> dict[str, float]:
        if progress.step + 1 == at and f"-{SUBSETS[1]}-" in self.job.folder.name and not asked:
            asked.append(at)
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, batch, progress)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer._Loop, "_step", taken)
        return main(words)


def everything(out: Path) -> dict[str, Any]:
    return {run.name: left(run) for run in sorted(out.iterdir())}


def test_students_together_are_the_runs_that_they_are_alone(place, alone, tmp_path, capsys, monkeypatch) -> None:
    passes: list[SharedTeacher] = []
    made = SharedTeacher.__init__

    def counted(self: SharedTeacher, teacher: Any) -> None:
        made(self, teacher)
        passes.append(self)

    monkeypatch.setattr(SharedTeacher, "__init__", counted)
    capsys.readouterr()
    assert main(words(place, tmp_path / "runs")) == 0
    told = capsys.readouterr()
    assert everything(tmp_path / "runs") == alone
    order = [Path(line).name.split("-")[1] for line in told.out.splitlines()]
    assert order == list(SUBSETS) and told.err == ""
    # Seven steps, three students.
    assert [teacher.passes for teacher in passes] == [7]


@pytest.mark.parametrize(("method", "teaching"), [("pkdr", "pkdr_teacher --subset all"), ("limbeck", "dropout")])
def test_so_it_is_with_a_patch_head_and_with_a_generalist_that_teaches(method, teaching, place, tmp_path) -> None:
    common = ["--data", place.cohort, "--dropout", "0.2", *FAST, *LENGTH]
    taught = ["train", *teaching.split(), *common, "--out", tmp_path / "taught", "--steps", "1"]
    assert main([str(word) for word in taught]) == 0
    (teacher,) = (tmp_path / "taught").iterdir()
    given = ["train", method, "--teacher", teacher, *common]
    for subset in ("t2", "all"):
        assert main([str(word) for word in [*given, "--subset", subset, "--out", tmp_path / "alone"]]) == 0
    assert main([str(word) for word in [*given, "--subsets", "t2,all", "--out", tmp_path / "together"]]) == 0
    assert everything(tmp_path / "together") == everything(tmp_path / "alone")


@pytest.mark.parametrize("size", [1, 2])
def test_groups_change_nothing_but_how_many_are_in_memory(size, place, alone, tmp_path, monkeypatch) -> None:
    sizes: list[int] = []
    original = experiment.train_together

    def watched(members: Any, *given: Any) -> Any:
        sizes.append(len(members))
        return original(members, *given)

    monkeypatch.setattr(experiment, "train_together", watched)
    assert main(words(place, tmp_path / "runs", "--group", size)) == 0
    assert everything(tmp_path / "runs") == alone
    assert sizes == ([1, 1, 1] if size == 1 else [2, 1])
    # All are finished now.
    assert main(words(place, tmp_path / "runs")) == 0 and len(sizes) == 4 - size
    assert everything(tmp_path / "runs") == alone


@pytest.mark.parametrize("at", [3, 5])
def test_a_signal_waits_for_the_step_of_all_and_both_ways_go_on(at, place, alone, tmp_path, capsys) -> None:
    out = tmp_path / "runs"
    capsys.readouterr()
    assert interrupted(at, words(place, out)) == 143
    said = capsys.readouterr().err
    assert f"after step {at} of 7" in said and "all 3 runs keep" in said and said.count("\n") == 1
    saved = [json.loads((run / "last" / "checkpoint.json").read_text())["step"] for run in out.iterdir()]
    assert saved == [at] * 3
    # One goes on by itself; the others wait for nobody and are joined by nobody.
    single = next(run for run in out.iterdir() if "-t1ce-" in run.name)
    assert main(["train", "--resume", str(single)]) == 0
    assert main(words(place, out, "--resume")) == 0
    assert everything(out) == alone


def test_a_signal_in_one_validation_leaves_those_after_it_to_be_made(place, alone, tmp_path, monkeypatch) -> None:
    original, calls = experiment.validation, iter(range(1, 100))

    def validating(*given: Any) -> Any:
        inside = original(*given)

        def validate(method: Any) -> float:
            if next(calls) == 2:
                os.kill(os.getpid(), signal.SIGINT)
            return inside(method)

        return validate

    with monkeypatch.context() as patch:
        patch.setattr(experiment, "validation", validating)
        assert main(words(place, tmp_path / "runs")) == 130
    cards = {path.parts[-3]: json.loads(path.read_text()) for path in tmp_path.glob("runs/*/last/checkpoint.json")}
    pending = {name.split("-")[1]: card["progress"]["pending"] for name, card in cards.items()}
    assert pending == {"flair": False, "t1ce": True, "flair+t1": True}
    assert main(words(place, tmp_path / "runs")) == 0
    assert everything(tmp_path / "runs") == alone


@pytest.mark.parametrize("turn", [2, 6])
def test_killed_between_their_checkpoints_those_ahead_wait(turn, place, alone, tmp_path, monkeypatch) -> None:
    saved, calls = trainer.save_last, iter(range(1, 100))

    def dying(*given: Any) -> None:
        if next(calls) == turn:
            raise Killed
        saved(*given)

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "save_last", dying)
        with pytest.raises(Killed):
            main(words(place, tmp_path / "runs"))
    cards = list(tmp_path.glob("runs/*/last/checkpoint.json"))
    # Regular checkpoints are due after steps 4 and 7; the second half of the calls are of the second.
    steps = sorted(json.loads(path.read_text())["step"] for path in cards)
    assert steps == {2: [4], 6: [4, 7, 7]}[turn]
    assert main(words(place, tmp_path / "runs")) == 0
    assert everything(tmp_path / "runs") == alone


def test_a_student_that_diverges_leaves_and_the_others_reach_their_end(place, alone, tmp_path, capsys) -> None:
    step = trainer._Loop._step

    def spoilt(self: Any, batch: Any, progress: Any) -> dict[str, float]:
        if progress.step == 5 and "-t1ce-" in self.job.folder.name:
            next(self.method.parameters()).data.fill_(float("nan"))
        return step(self, batch, progress)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer._Loop, "_step", spoilt)
        capsys.readouterr()
        assert main(words(place, tmp_path / "runs")) == PartialError.exit_code
        told = capsys.readouterr()
        assert told.err.count("\n") == 1 and "1 of 3 students" in told.err and "diverged" in told.err
        assert len(told.out.splitlines()) == 2 and "t1ce" not in told.out
        found = {run.name for run in (tmp_path / "runs").iterdir() if (run / "DONE").is_file()}
        assert found == {name for name in alone if "-t1ce-" not in name}
        # Alone it is reported as ever.
        assert main(words(place, tmp_path / "other", subsets="t1ce")) == DivergedError.exit_code
    assert main(words(place, tmp_path / "runs")) == 0
    after = everything(tmp_path / "runs")
    assert after == alone


@pytest.mark.parametrize(
    ("method", "more", "says"),
    [
        ("supervised", ["--subsets", "all"], ["share nothing", "--subset"]),
        ("pkdr_teacher", ["--subsets", "all"], ["share nothing"]),
        ("dropout", ["--subsets", "all"], ["leave --subsets out"]),
        ("mtcmkd", ["--subsets", "flair,flair+t1"], ["one sequence"]),
        ("gkd", ["--subsets", "all"], ["--teacher"]),
        ("rirn", ["--subsets", "flair,t2f"], ["flair is given twice"]),
        ("rirn", ["--subsets", "flair,t3"], ["t3"]),
        ("rirn", ["--subsets", "flair,t1", "--subset", "t1"], ["--subset t1 beside --subsets"]),
        ("rirn", ["--subsets", "flair,t1", "--group", "0"], ["--group", "at least 1"]),
        ("rirn", ["--subset", "flair", "--group", "2"], ["without --subsets"]),
        ("rirn", ["--subsets", "flair", "--resume"], ["nothing to resume"]),
    ],
)
def test_what_cannot_be_trained_together_is_said_in_a_line(method, more, says, place, tmp_path, capsys) -> None:
    capsys.readouterr()
    given = ["train", method, "--data", str(place.cohort), "--out", str(tmp_path / "runs"), *FAST, *more]
    assert main(given) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and all(part in said for part in says), said
    assert not (tmp_path / "runs").exists()


def test_a_record_of_one_student_gives_its_settings_to_several(place, alone, tmp_path, capsys) -> None:
    record = place.whole / "experiment.yaml"
    given = ["train", "gkd", "--data", str(place.cohort), "--teacher", str(place.teacher), "--config", str(record)]
    out = ["--out", str(tmp_path / "runs")]
    assert main([*given, *out, "--subsets", "t1ce,flair"]) == 0
    assert everything(tmp_path / "runs") == {name: run for name, run in alone.items() if "flair+t1" not in name}
    # Options that contradict each other still do, and so do lines of one file.
    both = tmp_path / "both.yaml"
    both.write_text("subset: flair\nsubsets: flair,t1\n")
    capsys.readouterr()
    assert main([*given, *out, "--subsets", "flair,t1", "--subset", "flair"]) == 2
    assert main([*given, *out, "--config", str(both)]) == 2
    said = capsys.readouterr().err
    assert said.count("--subset flair beside --subsets flair,t1") == 2


def test_a_lone_run_goes_on_by_its_own_record(place, tmp_path, capsys) -> None:
    run = place.stopped(tmp_path / "runs")
    capsys.readouterr()
    assert main(["train", "--resume", str(run), "--subsets", "all"]) == 2
    assert "leave --subsets out" in capsys.readouterr().err


def test_a_run_that_another_process_trains_is_left_to_it(place, tmp_path, capsys) -> None:
    assert interrupted(1, words(place, tmp_path)) == 143
    busy = next(run for run in tmp_path.iterdir() if "-t1ce-" in run.name)
    capsys.readouterr()
    with held(busy / "train.lock"):
        assert main(words(place, tmp_path)) == 2
    said = capsys.readouterr().err
    assert busy.name in said and f"process {os.getpid()}" in said


def test_processes_that_read_crops_read_for_all(place, alone, tmp_path) -> None:
    assert main(words(place, tmp_path, "--workers", "1")) == 0
    weights = {name: [card["files"] for card in run["cards"]] for name, run in everything(tmp_path).items()}
    # Of the last checkpoint the weights and all states, of the best the weights.
    assert weights == {name: [card["files"] for card in run["cards"]] for name, run in alone.items()}


def test_all_means_all_fifteen_however_it_is_written(place, tmp_path) -> None:
    _, parts = Settings("gkd").parse(place.words(tmp_path)[2:])
    for text in ("all", "ALL", " All "):
        assert len(plan_together("gkd", text, place.teacher, parts)) == 15
