"""An experiment: everything that decides a run's result, and the one place where objects meet.

A run is a pure function of its experiment; the experiment's hash names the run's folder, so the same command finds
its finished or interrupted run again, and any other finds another folder.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import torch
import yaml

from limbeck import ranks
from limbeck.batch import Batch
from limbeck.data.augment import Augmentation
from limbeck.data.cohort import Cohort
from limbeck.data.dataset import CropReader, batches, end_readers
from limbeck.data.shared_crops import SharedCrops
from limbeck.data.splits import Fold, FoldRecord, read_split, record_hash
from limbeck.durable import write_json, write_text
from limbeck.errors import ModelError, UsageError
from limbeck.evaluation.eligible import FOLD, TAUGHT, seen_by, use_in_words
from limbeck.inference.predictor import Predictor
from limbeck.lock import held, holder
from limbeck.methods import build, find
from limbeck.methods.base import Context, Method
from limbeck.methods.precision import uses_bf16
from limbeck.methods.saved import DONE, Card, load_card
from limbeck.methods.shared_teacher import SharedTeacher
from limbeck.request import SECTIONS, Experiment, RunSettings, plan
from limbeck.scoring import held_out, validation
from limbeck.teachers import teachers_of
from limbeck.training import compiled, randomness
from limbeck.training.checkpoint import BEST, Best, best_of
from limbeck.training.meeting import left_of
from limbeck.training.optimise import DivergedError
from limbeck.training.record import (
    EXPERIMENT,
    NOT_DECIDING,
    begin_session,
    machine_facts,
    nearest_record,
    processes,
    refuse_changes,
    write_places,
)
from limbeck.training.trainer import Job, Member, check_patch, fabric_for, train_together

# What is asked for has a file of its own, and is had from here by all who ask.
__all__ = [
    "SECTIONS",
    "Experiment",
    "Ready",
    "RunSettings",
    "digest_of",
    "plan",
    "prepare",
    "refuse_to_begin",
    "resume",
    "run",
    "run_name",
    "train_runs",
    "unfinished",
]

# What ACN, and so GKD, augments with.
FLIPS = dataclasses.replace(Augmentation.off(), flip_probability=0.5)

LOCK = "train.lock"


def run(
    experiment: Experiment,
    cohort: Cohort,
    out: Path,
    report: Callable[[int, float], None] = lambda done, loss: None,
    *,
    resume: bool = False,
) -> Path:
    """Train an experiment, or go on with it where it stopped; returns the run's folder.

    Args:
        experiment: what to train.
        cohort: what to train on.
        out: the folder that holds all runs.
        report: called after every step with the steps done and the loss.
        resume: go on only; refuse to begin.

    Raises:
        ModelError: the teacher does not fit, or the finished run was damaged since.
        DataError: no case of the cohort can be used, or the split does not fit it.
        UsageError: a setting is out of range, another process trains the run, or there is nothing to resume.
        DivergedError: training came to NaN or infinity.
        Interrupted: a signal asked for it; the run is saved.
    """
    ready = prepare(experiment, cohort)
    folder = out / ready.name
    if resume and not (folder / EXPERIMENT).is_file():
        refuse_to_begin(ready, out)
    return run_ready(folder, ready, report)


def refuse_to_begin(ready: Ready, out: Path) -> NoReturn:
    """Say that what is asked for has not begun, and how it differs from the run that is most like it.

    Raises:
        UsageError: always.
    """
    likely = [path.parent for path in out.glob(f"{ready.experiment.method}-*/{EXPERIMENT}")]
    raise UsageError(f"nothing to resume in {out}: {nearest_record(likely, ready.origin)}")


def resume(
    experiment: Experiment, cohort: Cohort, folder: Path, report: Callable[[int, float], None] = lambda done, loss: None
) -> Path:
    """Go on with the run of a folder, whatever its name is; returns the folder.

    Args:
        experiment: what the run was asked for; it may differ in where it computes and how often it writes.
        cohort: what it was trained on, wherever that lies now.
        folder: the run's.
        report: called after every step with the steps done and the loss.

    Raises:
        UsageError: a setting differs from the run's, or another process trains it.
        DataError: the data or the split differ.
        ModelError: the teacher differs, the folder is no run, or this version does something else under its settings.
        DivergedError, Interrupted: as `run`.
    """
    # Before anything is read that other data could make fail in another way.
    refuse_changes(folder, {**experiment.to_json(), "data": cohort.hash, **processes()})
    ready = prepare(experiment, cohort)
    refuse_changes(folder, ready.origin)
    return run_ready(folder, ready, report)


@dataclass(frozen=True)
class Ready:
    """An experiment, checked, with all that is known before the first step.

    Attributes:
        experiment: what to train.
        cohort: what to train on.
        fold: its cases.
        seen: the record of the fold.
        teachers: by role.
        augmentation: of the crops.
        origin: everything that decides the result, by name.
        digest: the hash of that.
    """

    experiment: Experiment
    cohort: Cohort
    fold: Fold
    seen: FoldRecord
    teachers: Mapping[str, Predictor]
    augmentation: Augmentation
    origin: Mapping[str, Any]
    digest: str

    @property
    def card(self) -> Card:
        """What checkpoints say, but for their step."""
        taught_by = {role: teacher.card.weights_hash for role, teacher in self.teachers.items()}
        experiment = self.experiment
        return Card(
            experiment.method,
            dataclasses.asdict(experiment.method_settings),
            experiment.subsets,
            find(experiment.method).target,
            self.cohort.spacing_mm,
            experiment.sampling.patch,
            normalisation=self.cohort.normalisation,
            origin={**self.origin, "experiment": self.digest, "teacher_weights": taught_by},
            label_scheme=self.cohort.scheme,
        )

    @property
    def name(self) -> str:
        """Of the run's folder."""
        return run_name(self.experiment, self.digest)

    def reader(self) -> CropReader:
        """What reads its crops.

        Raises:
            DataError: no case of the fold can be used.
        """
        cases, experiment = [self.cohort.case(name) for name in self.fold.train], self.experiment
        privileged = find(experiment.method).privileged
        return CropReader(
            *(cases, experiment.sampling, experiment.subsets, experiment.run.seed, privileged),
            *(ranks.rank(), ranks.world()),
        )

    def validation(self, device: torch.device) -> Callable[[Method[Any]], float]:
        """What gives the mean Dice over its validation cases.

        Raises:
            DataError: no case can be scored.
        """
        cases = [self.cohort.case(name) for name in self.fold.validation]
        return validation(self.card, cases, self.experiment.training.precision, device)

    def with_subset(self, experiment: Experiment) -> Ready:
        """The same for an experiment that differs from this one in its subset alone."""
        origin = {**self.origin, **experiment.to_json()}
        return dataclasses.replace(self, experiment=experiment, origin=origin, digest=digest_of(origin))


def prepare(experiment: Experiment, cohort: Cohort) -> Ready:
    """Check all of an experiment that can be checked, and read its teachers.

    Raises:
        ModelError: the teacher does not fit.
        DataError: the split does not fit the cohort.
        UsageError: a setting is out of range.
    """
    check_patch(experiment.training, experiment.sampling.patch, experiment.method_settings.stride)
    if cohort.normalisation != experiment.method_settings.normalisation:
        wanted = experiment.method_settings.normalisation
        raise UsageError(
            f"images of {cohort.path} are {cohort.normalisation}, {experiment.method} as set here needs {wanted}: "
            f"import the data again with --normalisation {wanted}"
        )
    fold, split_file = _fold(experiment, cohort)
    seen = fold.record(cohort)
    teachers = teachers_of(experiment, cohort, fold)
    augmentation = Augmentation() if experiment.sampling.augment else FLIPS
    origin = {
        **experiment.to_json(),
        "data": cohort.hash,
        "split": record_hash(seen),
        **split_file,
        "augmentation": digest_of(dataclasses.asdict(augmentation)),
        "teachers": {role: str(teacher.card.origin.get("experiment", "")) for role, teacher in teachers.items()},
        **processes(),
    }
    return Ready(experiment, cohort, fold, seen, teachers, augmentation, origin, digest_of(origin))


def run_ready(folder: Path, ready: Ready, report: Callable[[int, float], None] = lambda done, loss: None) -> Path:
    """Train what `prepare` gave, or go on with it; arguments and errors are those of `run`. Returns the folder."""
    diverged = train_runs({folder: ready}, lambda _, done, loss: report(done, loss))
    for error in diverged.values():
        raise error
    return folder


def train_runs(runs: Mapping[Path, Ready], report: Callable[[Path, int, float], None]) -> dict[Path, DivergedError]:
    """Train runs that differ in their subsets alone, in lockstep; those that are finished already are left.

    Args:
        runs: folder -> what is trained there. Of several, all look at complete cases and learn from the same teachers.
        report: called after every step of a run with its folder, the steps done and the loss.

    Returns:
        Those that came to NaN or infinity, and what they came to; all others are finished.

    Raises:
        DataError: no case of the cohort can be used.
        UsageError: another process trains one of the runs, or those of this training were asked for different runs.
        Interrupted: a signal asked for it; all runs are saved.
    """
    waiting = unfinished(runs)
    if not waiting:
        return {}
    shared = next(iter(waiting.values()))
    settings = shared.experiment.training
    # Before the seeds: importing Lightning draws from Python's generator, in the first run of a process alone.
    fabric = fabric_for(settings)
    readers = {folder: ready.reader() for folder, ready in waiting.items()}
    members = _members(waiting, readers, fabric.device, report)
    with ExitStack() as locks:
        locks.callback(end_readers)
        for folder in waiting:
            _hold(folder, locks)
        # Another process may have finished some in the meantime.
        members = {folder: m for folder, m in members.items() if not ranks.agreed((folder / DONE).is_file())}
        if not members:
            return {}
        if ranks.first():
            for folder in members:
                _write_record(folder, waiting[folder], fabric.device, readers[folder])
        ends = train_together(list(members.values()), settings, shared.experiment.optimiser, fabric)
        for folder, end in zip(members, ends, strict=True):
            if isinstance(end, Best) and ranks.first():
                write_json(folder / DONE, best_of(folder))
        # Nobody looks for what the first has not written yet.
        ranks.agreed(0)
    return {folder: end for folder, end in zip(members, ends, strict=True) if isinstance(end, DivergedError)}


def unfinished(runs: Mapping[Path, Ready]) -> dict[Path, Ready]:
    """Those that are to be trained, as all processes of this training see it.

    Raises:
        UsageError: they were asked for different runs.
        ModelError: a finished one was damaged since.
    """
    if not runs:
        return {}
    done = {folder: (folder / DONE).is_file() for folder in runs}
    for folder in (folder for folder, is_done in done.items() if is_done):
        try:
            load_card(folder / BEST)
        except ModelError as error:
            raise ModelError(f"{error}: mend it, or move the folder away to train it again") from error
    return {folder: runs[folder] for folder in left_of(done, next(iter(runs.values())).experiment.training)}


def _members(
    runs: Mapping[Path, Ready],
    readers: Mapping[Path, CropReader],
    device: torch.device,
    report: Callable[[Path, int, float], None],
) -> dict[Path, Member]:
    """The runs as the trainer takes them; several share one reader's crops and one teacher's answers."""
    first = next(iter(runs))

    def crops(folder: Path) -> Callable[[int], Iterator[Batch]]:
        steps, augmentation = runs[folder].experiment.training.steps, runs[folder].augmentation
        return lambda start: batches(readers[folder], start, steps, device, augmentation)

    seen = {folder: crops(folder) for folder in runs}
    teachers: dict[str, Any] = {role: teacher.method for role, teacher in runs[first].teachers.items()}
    if len(runs) > 1:
        shared = SharedCrops(seen[first], runs[first].experiment.training.steps)
        seen = {folder: shared.seen_as(ready.experiment.subsets[0]) for folder, ready in runs.items()}
        teachers = {role: SharedTeacher(teacher) for role, teacher in teachers.items()}
    members = {}
    for folder, ready in runs.items():
        asked = ready.experiment
        randomness.seed(asked.run.seed)
        method = build(asked.method, asked.method_settings, Context(asked.subsets, teachers=teachers))
        if asked.training.compile:
            compiled.compile_students(method, device)
        randomness.part(asked.run.seed, ranks.rank())
        job = Job(folder, ready.card, seen[folder], ready.validation(device), partial(report, folder))
        members[folder] = Member(method, job, randomness.state())
    return members


def _hold(folder: Path, locks: ExitStack) -> None:
    lock = folder / LOCK
    # Of several processes the first holds it for all, and writes for all.
    alone = locks.enter_context(held(lock)) if ranks.first() else True
    if ranks.agreed(not alone):
        raise UsageError(f"{folder} is being trained by process {holder(lock)}: wait for it, or stop it")


def _write_record(folder: Path, ready: Ready, device: torch.device, reader: CropReader) -> None:
    """What was asked for, which cases it uses, where they lie, and what it runs on."""
    asked, training = ready.experiment, ready.experiment.training
    write_text(folder / EXPERIMENT, yaml.safe_dump(dict(ready.origin), sort_keys=False))
    write_json(folder / FOLD, ready.seen)
    if asked.teachers:
        write_json(folder / TAUGHT, [seen for run in {*asked.teachers.values()} for seen in seen_by(run)])
    # All roles of a method are served by one run.
    lying = {"data": ready.cohort.path, "teacher": next(iter(asked.teachers.values()), None), "split": asked.split}
    write_places(folder, {name: path for name, path in lying.items() if path})
    counts = {
        "training_cases": len(reader.cases),
        "training_cases_left_out": len(ready.fold.train) - len(reader.cases),
    }
    validated = [ready.cohort.case(name) for name in ready.fold.validation]
    use = {"use": use_in_words(reader.usable, validated, asked.subsets, find(asked.method).privileged)}
    shared = {"compiled": training.compile and not compiled.compiler_problem(device.type), **processes()}
    begin_session(folder, machine_facts(device, uses_bf16(training.precision, device)) | counts | use | shared)


def run_name(experiment: Experiment, digest: str) -> str:
    """`<method>-<subset>-f<fold>-s<seed>-<hash8>`."""
    settings = experiment.run
    return f"{experiment.method}-{experiment.subset_name}-f{settings.fold}-s{settings.seed}-{digest[:8]}"


def _fold(experiment: Experiment, cohort: Cohort) -> tuple[Fold, dict[str, str]]:
    """The fold, and the hash of the file that it comes from, if it is not one of the cohort's own."""
    settings = experiment.run
    if experiment.split is None:
        return held_out(cohort, settings.fold, settings.folds), {}
    split = read_split(experiment.split, cohort)
    return split.fold(settings.fold, settings.folds), {"split_file": split.hash}


def digest_of(origin: Mapping[str, Any]) -> str:
    """SHA-256 of what decides a run's result: its settings without where it computes and how often it writes."""
    deciding = {name: value for name, value in origin.items() if name not in NOT_DECIDING}
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()
