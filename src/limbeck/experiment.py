"""An experiment: everything that decides a run's result, and the one place where objects meet.

A run is a pure function of its experiment; the experiment's hash names the run's folder, so the same command finds
its finished or interrupted run again, and any other finds another folder.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
import yaml

from limbeck.anatomy import Subset
from limbeck.data.augment import Augmentation
from limbeck.data.cohort import Cohort, CohortCase
from limbeck.data.dataset import CropReader, SamplingSettings, batches
from limbeck.data.splits import Fold, folds
from limbeck.durable import write_json, write_text
from limbeck.errors import ModelError, UsageError, require
from limbeck.evaluation.evaluate import evaluate
from limbeck.evaluation.table import Row
from limbeck.inference.predictor import Predictor, load
from limbeck.methods import build, find
from limbeck.methods.base import Context, Method, NetworkSettings
from limbeck.methods.precision import pick_device, uses_bf16
from limbeck.methods.saved import Card
from limbeck.networks.unet import UNet
from limbeck.training.optimise import OptimiserSettings
from limbeck.training.trainer import Job, TrainingSettings, fabric_for, train
from limbeck.version import __version__

DONE = "DONE"


@dataclass(frozen=True)
class RunSettings:
    """Which cases a run learns from, and its seed.

    Attributes:
        fold: the fold whose cases are held out for the test, counted from 0.
        folds: folds by patient that the cohort is split into (GKD: 3; MTCM-KD: 5).
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
        require(self.folds >= 2, "folds", self.folds, "at least 2")
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
    """

    method: str
    subsets: tuple[Subset, ...]
    method_settings: NetworkSettings
    run: RunSettings = RunSettings()
    training: TrainingSettings = TrainingSettings()
    optimiser: OptimiserSettings = OptimiserSettings()
    sampling: SamplingSettings = SamplingSettings()
    teachers: Mapping[str, Path] = field(default_factory=dict)

    @property
    def subset_name(self) -> str:
        """The subset as it stands in the run's name; a generalist serves `any`."""
        return str(self.subsets[0]) if len(self.subsets) == 1 else "any"

    def to_json(self) -> dict[str, Any]:
        """Every setting by name, without paths and without what cannot change the result."""
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

# Where and beside what a run computes is no part of what it computes.
_NOT_HASHED = ("device", "workers")


def plan(method: str, subset: str | None, teacher: Path | None, parts: Mapping[str, Any]) -> Experiment:
    """An experiment from names, after checking that subset and teacher suit the method.

    Args:
        method: name in METHODS.
        subset: as it is written; None or `any` for a generalist.
        teacher: run folder of the teacher, for methods that need one.
        parts: settings by section, `method_settings` among them.

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
        raise UsageError(f"{method} has no teacher: leave --teacher out")
    subsets = Subset.every() if kind.generalist else (Subset.parse(str(subset)),)
    teachers = {role: teacher for role in kind.needs if teacher is not None}
    experiment = Experiment(method, subsets, teachers=teachers, **parts)
    sides = experiment.sampling.patch
    require(
        all(side % UNet.stride == 0 for side in sides),
        "patch",
        sides,
        f"multiples of the network's stride {UNet.stride}",
    )
    return experiment


def run(
    experiment: Experiment, cohort: Cohort, out: Path, report: Callable[[int, float], None] = lambda done, loss: None
) -> Path:
    """Train an experiment, or go on with it where it stopped; returns the run's folder.

    Args:
        experiment: what to train.
        cohort: what to train on.
        out: the folder that holds all runs.
        report: called after every step with the steps done and the loss.

    Raises:
        ModelError: the teacher does not fit.
        DataError: no case of the cohort can be used.
        UsageError: a setting is out of range.
    """
    _check_hardware(experiment)
    fold = held_out(cohort, experiment.run)
    teachers, origins = _teachers(experiment, cohort)
    origin = {**experiment.to_json(), "data": cohort.hash, "teachers": origins}
    digest = _digest(origin)
    folder = out / run_name(experiment, digest)
    if (folder / DONE).is_file():
        return folder
    torch.manual_seed(experiment.run.seed)
    kind = find(experiment.method)
    context = Context(experiment.subsets, teachers=teachers)
    method = build(experiment.method, experiment.method_settings, context)
    card = Card(
        experiment.method,
        dataclasses.asdict(experiment.method_settings),
        experiment.subsets,
        context.target,
        cohort.spacing_mm,
        experiment.sampling.patch,
        origin={**origin, "experiment": digest},
    )
    cases = [cohort.case(name) for name in fold.train]
    reader = CropReader(cases, experiment.sampling, experiment.subsets, experiment.run.seed, kind.privileged)
    fabric = fabric_for(experiment.training)
    augmentation = Augmentation() if experiment.sampling.augment else FLIPS
    job = Job(
        folder,
        card,
        lambda start: batches(
            reader, start, experiment.training.steps, experiment.run.seed, fabric.device, augmentation
        ),
        _validation(experiment, card, [cohort.case(name) for name in fold.validation]),
        report,
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "experiment.yaml", yaml.safe_dump(origin, sort_keys=False))
    write_json(folder / "environment.json", _environment(reader, cases))
    best = train(method, job, experiment.training, experiment.optimiser, fabric)
    write_json(folder / DONE, {"best_step": best.step, "validation_dice": round(best.dice, 6)})
    return folder


def run_name(experiment: Experiment, digest: str) -> str:
    """`<method>-<subset>-f<fold>-s<seed>-<hash8>`."""
    settings = experiment.run
    return f"{experiment.method}-{experiment.subset_name}-f{settings.fold}-s{settings.seed}-{digest[:8]}"


def held_out(cohort: Cohort, settings: RunSettings) -> Fold:
    """The cohort's fold, stored with it and never drawn again."""
    return folds(cohort, settings.folds)[settings.fold]


def evaluate_run(
    folder: Path,
    cohort: Cohort,
    subsets: tuple[Subset, ...] | None = None,
    *,
    device: str = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> list[Row]:
    """Score a run: on the cases held out from it if the cohort is its own, else on all cases that can be scored.

    Args:
        folder: a finished run.
        cohort: the cases.
        subsets: sequences to predict from; by default a specialist's own and a generalist's 15.
        device: where the network runs.
        progress: told how many of all predictions are done.

    Raises:
        ModelError: the run is not finished or damaged.
        UsageError: the run serves none of the subsets.
    """
    if not folder.is_dir():
        raise ModelError(f"run folder {folder} does not exist: expected a run folder of limbeck train")
    if not (folder / DONE).is_file():
        raise ModelError(f"{folder} is no finished run: it has no {DONE} file")
    predictor = load(folder, device)
    served = predictor.card.subsets
    chosen = served if subsets is None else tuple(subset for subset in subsets if subset in served)
    if not chosen:
        raise UsageError(f"{folder.name} serves {', '.join(map(str, served))}: none of the subsets asked for")
    origin = predictor.card.origin
    if origin.get("data") == cohort.hash:
        settings = RunSettings(int(origin["fold"]), int(origin["folds"]))
        cases = [cohort.case(name) for name in held_out(cohort, settings).test]
    else:
        cases = list(cohort.cases)
    rows: list[Row] = []
    for subset in chosen:
        usable = [case for case in cases if case.segmented and all(case.present[m] for m in subset)]
        rows += evaluate(
            predictor.segment_case,
            usable,
            [subset],
            run=folder.name,
            method=predictor.card.method,
            fold=int(origin["fold"]),
            seed=int(origin["seed"]),
            progress=progress,
        )
    return rows


def _validation(experiment: Experiment, card: Card, cases: list[CohortCase]) -> Callable[[Method[Any]], float]:
    """Mean Dice over validation cases and regions, by the path that predicts everywhere else."""
    singles_and_all = tuple(subset for subset in Subset.every() if len(subset) in (1, 4))
    subsets = experiment.subsets if len(experiment.subsets) == 1 else singles_and_all
    device = pick_device(experiment.training.device)
    bf16 = uses_bf16(experiment.training.precision, device)
    scored = [case for case in cases if case.segmented and all(case.present)]

    def validate(method: Method[Any]) -> float:
        predictor = Predictor(method, card, device, bf16)
        rows = evaluate(
            predictor.segment_case, scored, subsets, ("dice",), run="validation", method=card.method, fold=0, seed=0
        )
        return fmean(row.value for row in rows) if rows else 0.0

    return validate


def _teachers(experiment: Experiment, cohort: Cohort) -> tuple[dict[str, Method[Any]], dict[str, str]]:
    """The teachers by role, and the hash of the experiment that made each."""
    methods: dict[str, Method[Any]] = {}
    origins: dict[str, str] = {}
    for role, folder in experiment.teachers.items():
        predictor = load(folder, "cpu")
        # A student's name holds its teacher's experiment, which is the same for a teacher that is still learning.
        if not (folder / DONE).is_file():
            raise ModelError(f"teacher {folder} is no finished run: it has no {DONE} file; finish its training first")
        card, needed = predictor.card, find(experiment.method).needs[role]
        wrong = {
            f"method {card.method}, expected {needed}": card.method != needed,
            f"sequences {card.subsets[0]}, expected all four": card.subsets != (Subset.parse("all"),),
            f"outputs {card.target.value}": card.target != Context(experiment.subsets).target,
            f"voxels of {card.spacing_mm} mm, the cohort has {cohort.spacing_mm} mm": card.spacing_mm
            != cohort.spacing_mm,
            f"width {card.settings['width']}, the student has {experiment.method_settings.width}": card.settings[
                "width"
            ]
            != experiment.method_settings.width,
        }
        if problems := [text for text, applies in wrong.items() if applies]:
            raise ModelError(f"teacher {folder} does not fit {experiment.method}: {'; '.join(problems)}")
        methods[role] = predictor.method
        origins[role] = str(card.origin.get("experiment", ""))
    return methods, origins


def _check_hardware(experiment: Experiment) -> None:
    """Refuse what this machine would compute wrongly.

    In bfloat16 on a CPU, torch 2.13's gradient of a convolution's weights is memory that nobody has written, wherever
    the first axis is two voxels long (tests/unit/training/test_bf16_convolution.py shows it). A crop gets there at its
    coarsest level.
    """
    device = pick_device(experiment.training.device)
    first = experiment.sampling.patch[0]
    wrong = device.type == "cpu" and first == 2 * UNet.stride and uses_bf16(experiment.training.precision, device)
    require(not wrong, "patch", experiment.sampling.patch, f"a first side other than {first}, or precision float32")


def _digest(origin: Mapping[str, Any]) -> str:
    deciding = {name: value for name, value in origin.items() if name not in _NOT_HASHED}
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()


def _environment(reader: CropReader, cases: list[CohortCase]) -> dict[str, Any]:
    return {
        "limbeck": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "training_cases": len(reader.cases),
        "training_cases_left_out": len(cases) - len(reader.cases),
    }
