"""The loop. It knows no method: it descends what a method yields, logs every term, validates and saves."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from limbeck.batch import Batch
from limbeck.errors import require
from limbeck.methods.base import Method, Objectives, Progress
from limbeck.methods.precision import Precision, pick_device, uses_bf16
from limbeck.methods.saved import Card
from limbeck.training.checkpoint import Best, restore, save_best, save_last
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
    """

    steps: int = 2000
    epoch_steps: int = 100
    validate_every: int = 500
    save_every: int = 250
    log_every: int = 50
    precision: Precision = "auto"
    device: str = "auto"

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
    # Both of Lightning's halves share one logger, which belongs to whichever was imported last.
    for talkative in ("lightning.fabric", "lightning.fabric.utilities.rank_zero", "lightning.pytorch"):
        logging.getLogger(talkative).setLevel(logging.WARNING)
    devices = [device.index or 0] if device.type == "cuda" else 1
    precision = "bf16-mixed" if uses_bf16(settings.precision, device) else "32-true"
    return Fabric(accelerator=device.type, devices=devices, precision=precision)  # type: ignore[arg-type]


def train(
    method: Method[Any], job: Job, settings: TrainingSettings, optimiser: OptimiserSettings, fabric: Fabric
) -> Best:
    """Train a method from its last checkpoint, or from the start, to the end; returns the best validation.

    Raises:
        DivergedError: a term is NaN or infinite; the message names it and the cases of the batch.
    """
    method.to(fabric.device)
    optimisers = Optimisers(method, optimiser)
    start, best = restore(job.folder, method, optimisers)
    log = Log(job.folder / "log.csv", start)
    epochs = math.ceil(settings.steps / settings.epoch_steps)
    clock = time.perf_counter()
    for step, batch in enumerate(job.batches(start), start=start):
        progress = Progress(step, settings.steps, step // settings.epoch_steps, epochs)
        values = _descend(method, batch, progress, optimisers, fabric)
        done = step + 1
        log.add({**values, "seconds": time.perf_counter() - clock})
        job.report(done, values["loss"])
        last = done == settings.steps
        if done % settings.epoch_steps == 0:
            method.after_epoch(progress)
        saves = last or done % settings.save_every == 0
        # A checkpoint holds no half-filled means, so a resumed run writes the lines that this one writes.
        if saves or done % settings.log_every == 0:
            log.write(done, progress.epoch)
        if last or (settings.validate_every and done % settings.validate_every == 0):
            dice = job.validate(method)
            log.write(done, progress.epoch, {"validation_dice": dice})
            best = save_best(job.folder, method, job.card, done, dice, best)
        if saves:
            save_last(job.folder, method, job.card, done, optimisers, best)
        clock = time.perf_counter()
    return best


def _descend(
    method: Method[Any], batch: Batch, progress: Progress, optimisers: Optimisers, fabric: Fabric
) -> dict[str, float]:
    """All descents of one step; gives every term, group norm, the rate and their sum under their names."""
    method.train()
    values = {"learning_rate": optimisers.schedule(progress.step, progress.steps), "loss": 0.0}
    iterator = method.training_step(batch, progress)
    while (objectives := _next(iterator, fabric)) is not None:
        for group, terms in objectives.items():
            for term, value in terms.items():
                values[f"{group}/{term}"] = _finite(value, f"{group}/{term}", progress.step, batch)
                values["loss"] += values[f"{group}/{term}"]
        norms = optimisers.descend(fabric, objectives)
        values.update({f"{group}/gradient_norm": norm for group, norm in norms.items()})
    return values


def _next(iterator: Iterator[Objectives], fabric: Fabric) -> Objectives | None:
    # The generator's body runs inside next(), so autocast has to be open just there, and not in the descent.
    with fabric.autocast():
        return next(iterator, None)


def _finite(value: Tensor, name: str, step: int, batch: Batch) -> float:
    number = float(value.detach())
    if not math.isfinite(number):
        cases = ", ".join(batch.case_ids)
        raise DivergedError(f"loss term {name} is {number} at step {step} (cases {cases}): lower learning_rate")
    return number
