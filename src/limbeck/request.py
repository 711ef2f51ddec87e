"""What `limbeck train` is asked for: everything of a run that has a name on the command line."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from limbeck.anatomy import Subset
from limbeck.data.dataset import SamplingSettings
from limbeck.errors import UsageError, require
from limbeck.methods import find
from limbeck.methods.base import NetworkSettings
from limbeck.training.optimise import OptimiserSettings
from limbeck.training.trainer import TrainingSettings


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
