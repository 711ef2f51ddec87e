"""The loop. It knows no method: it descends what a method yields, logs every term, validates and saves."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from limbeck.batch import Batch
from limbeck.errors import require
from limbeck.heap import keep_freed_memory
from limbeck.methods.base import Method, Objectives, Progress
from limbeck.methods.precision import Precision, pick_device, uses_bf16
from limbeck.methods.saved import Card
from limbeck.training import divergence, randomness
from limbeck.training.checkpoint import Best, Position, restore, save_best, save_last
from limbeck.training.interrupts import Interrupted, impatiently, patiently, requested
from limbeck.training.log import Log
from limbeck.training.optimise import DivergedError, Optimisers, OptimiserSettings

if TYPE_CHECKING:
    from lightning.fabric import Fabric


@dataclass(frozen=True)
class TrainingSettings:
    """How long a run lasts, and what it does on the way.

    Attributes:
        steps: descents of the main group in all.
        epoch_steps: steps that count as an epoch.
        validate_every: steps between validations; 0 validates at the end alone.
        save_every: steps between checkpoints; one is always written at the end.
        log_every: steps that one line of log.csv averages.
        precision: auto is bf16 where the hardware computes in it, else float32.
        device: auto is the GPU when there is one.
        compile: students' training passes through torch.compile, which takes minutes to build; goes on without, and
            says so, where there is no compiler.
    """

    steps: int = 2000
    epoch_steps: int = 100
    validate_every: int = 500
    save_every: int = 250
    log_every: int = 50
    precision: Precision = "auto"
    device: str = "auto"
    compile: bool = False

    def __post_init__(self) -> None:
        """Refuse counts that are none.

        Raises:
            UsageError: a value is out of its range.
        """
        for name in ("steps", "epoch_steps", "save_every", "log_every"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        require(self.validate_every >= 0, "validate_every", self.validate_every, "0 or a number of steps")


@dataclass(frozen=True)
class Job:
    """What one run trains with.

    Attributes:
        folder: the run folder: log.csv, last/ and best/ are written there.
        card: what checkpoints say of the method.
        batches: batches from a step on, on a device.
        validate: mean validation Dice of the method as it is.
        report: called after every step with the steps done and the last training loss.
    """

    folder: Path
    card: Card
    batches: Callable[[int], Iterator[Batch]]
    validate: Callable[[Method[Any]], float]
    report: Callable[[int, float], None]


def fabric_for(settings: TrainingSettings) -> Fabric:
    """Fabric on one device in the asked precision."""
    from lightning.fabric import Fabric  # noqa: PLC0415 - two seconds, which help and checks of settings need not wait

    device = pick_device(settings.device)
    if device.type == "cpu":
        keep_freed_memory()
    # Both of Lightning's halves share one logger, which belongs to whichever was imported last.
    for talkative in ("lightning.fabric", "lightning.fabric.utilities.rank_zero", "lightning.pytorch"):
        logging.getLogger(talkative).setLevel(logging.WARNING)
    devices = [device.index or 0] if device.type == "cuda" else 1
    precision = "bf16-mixed" if uses_bf16(settings.precision, device) else "32-true"
    return Fabric(accelerator=device.type, devices=devices, precision=precision)  # type: ignore[arg-type]


def check_patch(settings: TrainingSettings, patch: tuple[int, int, int], stride: int) -> None:
    """Refuse crops on which this machine would compute wrongly.

    In bfloat16 on a CPU, torch 2.13's gradient of a convolution's weights is memory that nobody has written wherever
    the first axis is two voxels long: values of 1e38 and NaN were seen. Crops get there at their coarser levels.

    Raises:
        UsageError: they are such crops.
    """
    device = pick_device(settings.device)
    small = patch[0] in (stride, 2 * stride)
    wrong = device.type == "cpu" and small and uses_bf16(settings.precision, device)
    require(not wrong, "patch", patch, f"a first side other than {patch[0]}, or precision float32")


def train(
    method: Method[Any], job: Job, settings: TrainingSettings, optimiser: OptimiserSettings, fabric: Fabric
) -> Best:
    """Train a method from its last checkpoint, or from the start, to the end; returns the best validation.

    A signal that `interrupts.heed` notes stops it after the step that is being taken, with a checkpoint from which the
    same weights and log follow as without the signal; a validation is broken off and made again.

    Raises:
        DivergedError: a term or a gradient is NaN or infinite; the message names it, the cases of the batch and where
            the step is kept for study. The checkpoints are those of before.
        Interrupted: a signal asked for it.
    """
    method.to(fabric.device)
    optimisers = Optimisers(method, optimiser)
    position = restore(job.folder, method, optimisers, job.card)
    log = Log(job.folder / "log.csv", position.step, position.log)
    with patiently():
        return _Loop(method, job, settings, optimisers, fabric, log, position.best).run(position)


class _Loop:
    """The steps of a run, and what follows each."""

    def __init__(
        self,
        method: Method[Any],
        job: Job,
        settings: TrainingSettings,
        optimisers: Optimisers,
        fabric: Fabric,
        log: Log,
        best: Best,
    ) -> None:
        self.method, self.job, self.settings = method, job, settings
        self.optimisers, self.fabric, self.log, self.best = optimisers, fabric, log, best
        # How often the last step descended.
        self._descents = 0

    def run(self, position: Position) -> Best:
        settings = self.settings
        epochs = math.ceil(settings.steps / settings.epoch_steps)
        if position.pending:
            self._follow(position.step)
        clock = time.perf_counter()
        for step, batch in enumerate(self.job.batches(position.step), start=position.step):
            progress = Progress(step, settings.steps, step // settings.epoch_steps, epochs)
            values = self._step(batch, progress)
            done = step + 1
            self.log.add({**values, "seconds": time.perf_counter() - clock})
            self.job.report(done, values["loss"])
            if done % settings.epoch_steps == 0:
                self.method.after_epoch(progress)
            if self._due(done, settings.log_every):
                self.log.write(done, progress.epoch)
            self._follow(done)
            clock = time.perf_counter()
        return self.best

    def _due(self, done: int, every: int) -> bool:
        return done == self.settings.steps or (every > 0 and done % every == 0)

    def _follow(self, done: int) -> None:
        """What comes after a step: validation and a checkpoint where they are due, and the end if it was asked for."""
        if self._due(done, self.settings.validate_every):
            self._validate(done)
        if requested() or self._due(done, self.settings.save_every):
            self._save(done)
        if requested():
            raise Interrupted(requested(), self._note(done))

    def _validate(self, done: int) -> None:
        random = randomness.state()
        try:
            with impatiently():
                dice = self.job.validate(self.method)
        except Interrupted as stop:
            self._save(done, pending=True, random=random)
            raise Interrupted(stop.number, self._note(done)) from None
        self.log.write(done, (done - 1) // self.settings.epoch_steps, {"validation_dice": dice})
        self.best = save_best(self.job.folder, self.method, self.job.card, done, dice, self.best)

    def _save(self, done: int, pending: bool = False, random: Mapping[str, Tensor] | None = None) -> None:
        position = Position(done, self.best, pending, self.log.state)
        save_last(self.job.folder, self.method, self.job.card, position, self.optimisers, random)

    def _note(self, done: int) -> str:
        return f" after step {done} of {self.settings.steps}, which is kept; limbeck train --resume {self.job.folder}"

    def _step(self, batch: Batch, progress: Progress) -> dict[str, float]:
        """All descents of one step; gives every term, group norm, the rate and their sum under their names."""
        before = divergence.Before.of(self.method, self._descents)
        values = {"learning_rate": self.optimisers.schedule(progress.step, progress.steps), "loss": 0.0}
        self._descents = 0
        self.method.train()
        try:
            iterator = self.method.training_step(batch, progress)
            while (objectives := self._next(iterator)) is not None:
                terms = _terms(objectives)
                values.update(terms)
                _check(terms)
                for value in terms.values():
                    values["loss"] += value
                values.update(_of_groups(self.optimisers.descend(self.fabric, objectives)))
                self._descents += 1
        except DivergedError as error:
            values.update(_of_groups(error.values))
            where = divergence.keep(self.job.folder, self.method, self.job.card, before, batch, progress.step, values)
            cases = ", ".join(batch.case_ids)
            raise DivergedError(
                error.problem, error.values, f" at step {progress.step} (cases {cases}; kept for study in {where})"
            ) from error
        return values

    def _next(self, iterator: Iterator[Objectives]) -> Objectives | None:
        # The generator's body runs inside next(), so autocast has to be open just there, and not in the descent.
        with self.fabric.autocast():
            return next(iterator, None)


def _terms(objectives: Objectives) -> dict[str, float]:
    return {
        f"{group}/{name}": float(value.detach()) for group, terms in objectives.items() for name, value in terms.items()
    }


def _check(terms: Mapping[str, float]) -> None:
    for name, value in terms.items():
        if not math.isfinite(value):
            raise DivergedError(f"loss term {name} is {value}", {})


def _of_groups(norms: Mapping[str, float]) -> dict[str, float]:
    return {f"{group}/gradient_norm": norm for group, norm in norms.items()}
