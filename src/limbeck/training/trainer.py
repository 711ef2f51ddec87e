"""The loop. It knows no method: it descends what a method yields, logs every term, validates and saves.

Several runs may go through it in lockstep, one step of each after the other, so that they can share what is the same
for all: where they get it from is their batches' and teachers' business. Each is, to the bit, what it would be alone.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from limbeck import ranks
from limbeck.batch import Batch
from limbeck.errors import require
from limbeck.heap import keep_freed_memory
from limbeck.launch import launch
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
    """Fabric on one device in the asked precision; where this is one of several processes, it meets the others."""
    from lightning.fabric import Fabric  # noqa: PLC0415 - two seconds, which help and checks of settings need not wait

    device = pick_device(settings.device)
    if device.type == "cpu":
        keep_freed_memory()
    # Both of Lightning's halves share one logger, which belongs to whichever was imported last.
    for talkative in ("lightning.fabric", "lightning.fabric.utilities.rank_zero", "lightning.pytorch"):
        logging.getLogger(talkative).setLevel(logging.WARNING)
    devices = [device.index or 0] if device.type == "cuda" else 1
    precision: Literal["bf16-mixed", "32-true"] = "bf16-mixed" if uses_bf16(settings.precision, device) else "32-true"
    if (launched := launch()).processes > 1:
        from limbeck.training.join import join  # noqa: PLC0415 - Lightning

        return join(launched, device, precision)
    if device.type == "cuda":
        # torch keeps and restores the random state of the current device, which Fabric sets for several alone.
        torch.cuda.set_device(device.index or 0)
    return Fabric(accelerator=device.type, devices=devices, precision=precision)


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


@dataclass(frozen=True)
class Member:
    """One of the runs that go on in lockstep.

    Attributes:
        method: with the weights that the run begins with.
        job: what it trains with; its batches are asked for one by one, just before each step.
        random: the generators' states that it begins with, as they were once the method was made.
    """

    method: Method[Any]
    job: Job
    random: Mapping[str, Tensor]


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
    (end,) = train_together([Member(method, job, randomness.state())], settings, optimiser, fabric)
    if isinstance(end, DivergedError):
        raise end
    return end


def train_together(
    members: Sequence[Member], settings: TrainingSettings, optimiser: OptimiserSettings, fabric: Fabric
) -> list[Best | DivergedError]:
    """Train several methods in lockstep, each as `train` trains it alone; gives how each ended.

    They may begin at different steps: those that are ahead wait. One that diverges leaves, the others go on. A signal
    waits until all have taken the step.

    Raises:
        Interrupted: a signal asked for it; all are saved.
    """
    loops = [_Loop(member, settings, optimiser, fabric) for member in members]
    with patiently():
        _in_lockstep(loops, settings.steps)
    return [loop.best if loop.diverged is None else loop.diverged for loop in loops]


def _in_lockstep(loops: Sequence[_Loop], steps: int) -> None:
    _follow(loops, steps)
    for step in range(min(loop.done for loop in loops), steps):
        for loop in loops:
            if loop.done == step and loop.diverged is None:
                loop.advance()
        if all(loop.diverged for loop in loops):
            return
        _follow(loops, steps)


def _follow(loops: Sequence[_Loop], steps: int) -> None:
    """What comes after a step of all: validations and checkpoints where they are due, and the end if it was asked for.

    Raises:
        Interrupted: it was; those that have not diverged are saved.
    """
    going = [loop for loop in loops if loop.diverged is None]
    for loop in going:
        loop.follow()
    # One process of several alone may have heard it.
    asked = ranks.agreed(requested())
    if not asked:
        return
    for loop in going:
        loop.keep()
    done = min(loop.done for loop in going)
    kept = f"which is kept; limbeck train --resume {loops[0].job.folder}"
    if len(loops) > 1:
        kept = f"which all {len(going)} runs keep; the same command goes on"
    raise Interrupted(asked, f" after step {done} of {steps}, {kept}")


class _Loop:
    """The steps of a run, and what follows each."""

    def __init__(
        self, member: Member, settings: TrainingSettings, optimiser: OptimiserSettings, fabric: Fabric
    ) -> None:
        self.method, self.job, self.settings, self.fabric = member.method, member.job, settings, fabric
        self.method.to(fabric.device)
        self.optimisers = Optimisers(self.method, optimiser)
        randomness.restore(member.random)
        position = restore(self.job.folder, self.method, self.optimisers, self.job.card)
        self.done, self.best = position.step, position.best
        # Whether what follows the last step is still to come, and whether the checkpoint is of this very moment.
        self._pending, self._kept = position.pending, position.step > 0
        # The generators' states between two turns of this run.
        self._random = randomness.state()
        self.log = Log(self.job.folder / "log.csv", position.step, position.log, writes=ranks.first())
        self.diverged: DivergedError | None = None
        # How often the last step descended.
        self._descents = 0
        self._batches = self.job.batches(self.done)
        self._epochs = math.ceil(settings.steps / settings.epoch_steps)

    def advance(self) -> None:
        """Take the next step; if it comes to what is not finite, `diverged` says so and the run has ended."""
        clock = time.perf_counter()
        settings, step = self.settings, self.done
        batch = next(self._batches)
        randomness.restore(self._random)
        progress = Progress(step, settings.steps, step // settings.epoch_steps, self._epochs)
        try:
            values = self._step(batch, progress)
        except DivergedError as error:
            self._leave(error)
            return
        self.done, self._pending, self._kept = step + 1, True, False
        self.log.add({**values, "seconds": time.perf_counter() - clock})
        self.job.report(self.done, values["loss"])
        if self.done % settings.epoch_steps == 0:
            self.method.after_epoch(progress)
        if self._due(self.done, settings.log_every):
            self.log.write(self.done, progress.epoch)
        self._random = randomness.state()
        # The next descent makes new ones; while other runs take their turns, these would only lie there.
        self.method.zero_grad(set_to_none=True)

    def _leave(self, error: DivergedError) -> None:
        """End as diverged; while the others go on, nothing that the step has computed stays in memory."""
        # The frames of a traceback hold the step's terms, and these all that their gradients need.
        error.__cause__ = error.__context__ = None
        self.diverged = error.with_traceback(None)
        self.method.zero_grad(set_to_none=True)
        del self.optimisers, self._batches

    def _due(self, done: int, every: int) -> bool:
        return done == self.settings.steps or (every > 0 and done % every == 0)

    def follow(self) -> None:
        """Validate and save where that is due; a validation that a signal breaks off stays due."""
        if not self._pending or (self._due(self.done, self.settings.validate_every) and not self._validate()):
            return
        self._pending = False
        if self._due(self.done, self.settings.save_every):
            self._save()

    def keep(self) -> None:
        """Write a checkpoint of this moment, unless the last one is."""
        if not self._kept:
            self._save()

    def _validate(self) -> bool:
        """Whether a validation came to its end; of several processes the first makes it."""
        randomness.restore(self._random)
        dice, broken_off = 0.0, False
        try:
            with impatiently():
                dice = self.job.validate(self.method) if ranks.first() else 0.0
        except Interrupted:
            broken_off = True
        if ranks.agreed(broken_off):
            return False
        self._random = randomness.state()
        dice = float(ranks.gathered(torch.tensor(dice, dtype=torch.float64))[0])
        self.log.write(self.done, (self.done - 1) // self.settings.epoch_steps, {"validation_dice": dice})
        self.best = save_best(self.job.folder, self.method, self.job.card, self.done, dice, self.best)
        return True

    def _save(self) -> None:
        position = Position(self.done, self.best, self._pending, self.log.state)
        save_last(self.job.folder, self.method, self.job.card, position, self.optimisers, self._random)
        self._kept = True

    def _step(self, batch: Batch, progress: Progress) -> dict[str, float]:
        """All descents of one step; gives every term, group norm, the rate and their sum under their names."""
        before = divergence.Before.of(self.method, self._descents)
        values = {"learning_rate": self.optimisers.schedule(progress.step, progress.steps), "loss": 0.0}
        self._descents = 0
        self.method.train()
        try:
            iterator = self.method.training_step(batch, progress)
            while (objectives := self._next(iterator)) is not None:
                terms = ranks.averaged(_terms(objectives))
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
