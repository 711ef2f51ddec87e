"""An experiment: everything that decides a run's result, and the one place where objects meet.

A run is a pure function of its experiment; the experiment's hash names the run's folder, so the same command finds
its finished or interrupted run again, and any other finds another folder.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml

from limbeck.anatomy import Subset
from limbeck.data.augment import Augmentation
from limbeck.data.cohort import Cohort
from limbeck.data.dataset import CropReader, SamplingSettings, batches
from limbeck.data.splits import Fold, FoldRecord, read_split, record_hash
from limbeck.durable import write_json, write_text
from limbeck.errors import ModelError, UsageError, require
from limbeck.evaluation.eligible import FOLD, learnt_from, use_in_words
from limbeck.inference.predictor import DONE, Predictor, load
from limbeck.lock import held, holder
from limbeck.methods import build, find
from limbeck.methods.base import Context, NetworkSettings
from limbeck.methods.precision import uses_bf16
from limbeck.methods.saved import Card
from limbeck.scoring import held_out, validation
from limbeck.training import compiled, randomness
from limbeck.training.optimise import OptimiserSettings
from limbeck.training.record import (
    EXPERIMENT,
    NOT_DECIDING,
    begin_session,
    machine_facts,
    nearest_record,
    refuse_changes,
    write_places,
)
from limbeck.training.trainer import Job, TrainingSettings, check_patch, fabric_for, train


@dataclass(frozen=True)
class RunSettings:
    """Which cases a run learns from, and its seed.

    Attributes:
        fold: the fold whose cases are held out for the test, counted from 0.
        folds: folds by patient that the cohort is split into (GKD: 3; MTCM-KD: 5), or that the split file holds.
        seed: of weights, crops and augmentation.
    """

    fold: int = 0
    folds: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse folds that are none.

        Raises:
            UsageError: a value is out of its range.
        """
        # One is what a split file may hold; a cohort's own folds are two or more.
        require(self.folds >= 1, "folds", self.folds, "at least 2, or 1 with a split file")
        require(0 <= self.fold < self.folds, "fold", self.fold, f"0 to {self.folds - 1}, of {self.folds} folds")
        # NumPy and torch take no other seeds.
        require(0 <= self.seed < 2**63, "seed", self.seed, "0 or a whole number above it")


@dataclass(frozen=True)
class Experiment:
    """What `limbeck train` was asked for.

    Attributes:
        method: name in METHODS.
        subsets: one for a specialist, all 15 for a generalist.
        method_settings: of the method's own kind.
        run: fold and seed.
        training: length and rhythm.
        optimiser: how weights are moved.
        sampling: what a batch holds.
        teachers: role -> run folder.
        split: a file of folds instead of the cohort's own.
    """

    method: str
    subsets: tuple[Subset, ...]
    method_settings: NetworkSettings
    run: RunSettings = RunSettings()
    training: TrainingSettings = TrainingSettings()
    optimiser: OptimiserSettings = OptimiserSettings()
    sampling: SamplingSettings = SamplingSettings()
    teachers: Mapping[str, Path] = field(default_factory=dict)
    split: Path | None = None

    @property
    def subset_name(self) -> str:
        """The subset as it stands in the run's name; a generalist serves `any`."""
        return str(self.subsets[0]) if len(self.subsets) == 1 else "any"

    def to_json(self) -> dict[str, Any]:
        """Every setting by name, without paths."""
        settings: dict[str, Any] = {"method": self.method, "subset": self.subset_name}
        for part in (self.run, self.method_settings, self.training, self.optimiser, self.sampling):
            settings |= dataclasses.asdict(part)
        settings["patch"] = list(self.sampling.patch)
        return settings


# Sections whose settings share one flat name space with the method's own, in YAML and on the command line.
SECTIONS: Mapping[str, type[Any]] = {
    "run": RunSettings,
    "training": TrainingSettings,
    "optimiser": OptimiserSettings,
    "sampling": SamplingSettings,
}

# What ACN, and so GKD, augments with.
FLIPS = dataclasses.replace(Augmentation.off(), flip_probability=0.5)

LOCK = "train.lock"


def plan(
    method: str, subset: str | None, teacher: Path | None, parts: Mapping[str, Any], split: Path | None = None
) -> Experiment:
    """An experiment from names, after checking that subset and teacher suit the method.

    Args:
        method: name in METHODS.
        subset: as it is written; None or `any` for a generalist.
        teacher: run folder of the teacher, for methods that need one.
        parts: settings by section, `method_settings` among them.
        split: a file of folds instead of the cohort's own.

    Raises:
        UsageError: the method is unknown, subset or teacher are missing or too many, or the crop does not suit the
            network.
    """
    kind = find(method)
    if kind.generalist and subset not in (None, "any"):
        raise UsageError(f"{method} serves all 15 subsets with one network: leave --subset out (found {subset!r})")
    if not kind.generalist and subset is None:
        raise UsageError(f"{method} needs --subset: for example flair, t1ce, flair+t1ce or all")
    if kind.needs and teacher is None:
        provider = " and ".join(kind.needs.values())
        raise UsageError(f"{method} learns from a teacher: give --teacher RUN, made by limbeck train {provider}")
    if teacher is not None and not kind.needs:
        raise UsageError(f"{method} takes no trained teacher: leave --teacher out")
    subsets = Subset.every() if kind.generalist else (Subset.parse(str(subset)),)
    if not kind.generalist:
        kind.check(subsets[0])
    teachers = {role: teacher for role in kind.needs if teacher is not None}
    experiment = Experiment(method, subsets, teachers=teachers, split=split, **parts)
    sides, settings = experiment.sampling.patch, experiment.method_settings
    require(
        all(side % settings.stride == 0 for side in sides),
        "patch",
        sides,
        f"multiples of {settings.stride}, the stride of {settings.network}",
    )
    # Normalisation over the one position that would be left at the coarsest level is undefined.
    require(max(sides) > settings.stride, "patch", sides, f"a side above {settings.stride}, the network's stride")
    return experiment


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
        ModelError: the teacher does not fit.
        DataError: no case of the cohort can be used, or the split does not fit it.
        UsageError: a setting is out of range, another process trains the run, or there is nothing to resume.
    """
    ready = _ready(experiment, cohort)
    folder = out / run_name(experiment, ready.digest)
    if resume and not (folder / EXPERIMENT).is_file():
        likely = [path.parent for path in out.glob(f"{experiment.method}-*/{EXPERIMENT}")]
        raise UsageError(f"nothing to resume in {out}: {nearest_record(likely, ready.origin)}")
    return _train(folder, ready, report)


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
    """
    # Before anything is read that other data could make fail in another way.
    refuse_changes(folder, {**experiment.to_json(), "data": cohort.hash})
    ready = _ready(experiment, cohort)
    refuse_changes(folder, ready.origin)
    return _train(folder, ready, report)


@dataclass(frozen=True)
class _Ready:
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


def _ready(experiment: Experiment, cohort: Cohort) -> _Ready:
    check_patch(experiment.training, experiment.sampling.patch, experiment.method_settings.stride)
    if cohort.normalisation != experiment.method_settings.normalisation:
        wanted = experiment.method_settings.normalisation
        raise UsageError(
            f"images of {cohort.path} are {cohort.normalisation}, {experiment.method} as set here needs {wanted}: "
            f"import the data again with --normalisation {wanted}"
        )
    fold, split_file = _fold(experiment, cohort)
    seen = fold.record(cohort)
    teachers = _teachers(experiment, cohort, fold)
    augmentation = Augmentation() if experiment.sampling.augment else FLIPS
    origin = {
        **experiment.to_json(),
        "data": cohort.hash,
        "split": record_hash(seen),
        **split_file,
        "augmentation": digest_of(dataclasses.asdict(augmentation)),
        "teachers": {role: str(teacher.card.origin.get("experiment", "")) for role, teacher in teachers.items()},
    }
    return _Ready(experiment, cohort, fold, seen, teachers, augmentation, origin, digest_of(origin))


def _train(folder: Path, ready: _Ready, report: Callable[[int, float], None]) -> Path:
    if (folder / DONE).is_file():
        return folder
    experiment, cohort, fold = ready.experiment, ready.cohort, ready.fold
    # Before the seed: importing Lightning draws from Python's generator, in the first run of a process alone.
    fabric = fabric_for(experiment.training)
    randomness.seed(experiment.run.seed)
    kind = find(experiment.method)
    methods = {role: teacher.method for role, teacher in ready.teachers.items()}
    method = build(experiment.method, experiment.method_settings, Context(experiment.subsets, teachers=methods))
    if experiment.training.compile:
        compiled.compile_students(method, fabric.device)
    cases = [cohort.case(name) for name in fold.train]
    reader = CropReader(cases, experiment.sampling, experiment.subsets, experiment.run.seed, kind.privileged)
    job = Job(
        folder,
        ready.card,
        lambda start: batches(reader, start, experiment.training.steps, fabric.device, ready.augmentation),
        validation(
            ready.card, [cohort.case(name) for name in fold.validation], experiment.training.precision, fabric.device
        ),
        report,
    )
    lock = folder / LOCK
    with held(lock) as alone:
        if not alone:
            raise UsageError(f"{folder} is being trained by process {holder(lock)}: wait for it, or stop it")
        if (folder / DONE).is_file():
            return folder
        _write_record(folder, ready, fabric.device, reader)
        best = train(method, job, experiment.training, experiment.optimiser, fabric)
        write_json(folder / DONE, {"best_step": best.step, "validation_dice": round(best.dice, 6)})
    return folder


def _write_record(folder: Path, ready: _Ready, device: torch.device, reader: CropReader) -> None:
    """What was asked for, which cases it uses, where they lie, and what it runs on."""
    asked, training = ready.experiment, ready.experiment.training
    write_text(folder / EXPERIMENT, yaml.safe_dump(dict(ready.origin), sort_keys=False))
    write_json(folder / FOLD, ready.seen)
    # All roles of a method are served by one run.
    lying = {"data": ready.cohort.path, "teacher": next(iter(asked.teachers.values()), None), "split": asked.split}
    write_places(folder, {name: path for name, path in lying.items() if path})
    counts = {
        "training_cases": len(reader.cases),
        "training_cases_left_out": len(ready.fold.train) - len(reader.cases),
    }
    validated = [ready.cohort.case(name) for name in ready.fold.validation]
    use = {"use": use_in_words(reader.usable, validated, asked.subsets, find(asked.method).privileged)}
    built = {"compiled": training.compile and not compiled.compiler_problem(device.type)}
    begin_session(folder, machine_facts(device, uses_bf16(training.precision, device)) | built | counts | use)


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


def _teachers(experiment: Experiment, cohort: Cohort, fold: Fold) -> dict[str, Predictor]:
    """The teachers by role."""
    teachers: dict[str, Predictor] = {}
    for role, folder in experiment.teachers.items():
        predictor = load(folder, "cpu")
        # A student's name holds its teacher's experiment, which is the same for a teacher that is still learning.
        if not (folder / DONE).is_file():
            raise ModelError(f"teacher {folder} is no finished run: it has no {DONE} file; finish its training first")
        needed = find(experiment.method).needs[role]
        problems = _misfits(experiment, cohort, predictor, needed)
        # Its knowledge of the student's test cases would flow into the student.
        if known := learnt_from(folder, [cohort.case(name) for name in fold.test], cohort.cases):
            problems.append(
                f"it has learnt from patients of {len(known)} cases held out here (first: {known[0]}), expected none: "
                "train it with the same --fold and --folds"
            )
        if problems:
            raise ModelError(f"teacher {folder} does not fit {experiment.method}: {'; '.join(problems)}")
        teachers[role] = predictor
    return teachers


def _misfits(experiment: Experiment, cohort: Cohort, teacher: Predictor, needed: str) -> list[str]:
    """What is wrong with a teacher, in the reader's words."""
    card = teacher.card
    if card.method != needed:
        return [f"method {card.method}, expected {needed}"]
    wrong = {
        f"sequences {card.subsets[0]}, expected all four": card.subsets != (Subset.parse("all"),),
        f"voxels of {card.spacing_mm:g} mm, the cohort has {cohort.spacing_mm:g} mm": card.spacing_mm
        != cohort.spacing_mm,
        f"images {card.normalisation}, the cohort's are {cohort.normalisation}": card.normalisation
        != cohort.normalisation,
    }
    problems = [text for text, applies in wrong.items() if applies]
    return problems + find(experiment.method).misfits(experiment.method_settings, teacher.method.settings)


def digest_of(origin: Mapping[str, Any]) -> str:
    """SHA-256 of what decides a run's result: its settings without where it computes and how often it writes."""
    deciding = {name: value for name, value in origin.items() if name not in NOT_DECIDING}
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()
