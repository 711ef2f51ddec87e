"""Checkpoints of a run: `last/` continues it to the bit, `best/` is what prediction uses."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from limbeck import ranks
from limbeck.errors import ModelError
from limbeck.methods.base import Method
from limbeck.methods.saved import CARD, PREVIOUS, Card, drop_unnamed, load_card, load_part, save
from limbeck.training import randomness
from limbeck.training.log import LogState
from limbeck.training.optimise import Optimisers

LAST, BEST = "last", "best"


@dataclass(frozen=True)
class Best:
    """The best validation so far: its step, and the mean Dice over cases and regions."""

    step: int = 0
    dice: float = -1.0


@dataclass(frozen=True)
class Position:
    """Where a run stands between two steps; the crops of a step follow from its number.

    Attributes:
        step: steps taken.
        best: the best validation.
        pending: whether what follows the step (validation, the regular checkpoint) is still to be done.
        log: lines written, and sums that are not lines yet.
    """

    step: int = 0
    best: Best = Best()
    pending: bool = False
    log: LogState = LogState()


def save_last(
    folder: Path,
    method: Method[Any],
    card: Card,
    position: Position,
    optimisers: Optimisers,
    random: Mapping[str, Tensor] | None = None,
) -> None:
    """Write all that the next step depends on: weights, buffers, optimisers, random states, position.

    Args:
        folder: the run's.
        method: as it is after the position's step.
        card: what it says of itself.
        position: where the run stands.
        optimisers: as they are.
        random: the random states, if not those of this moment.
    """
    best = position.best
    drawn = _of_every_process(randomness.state() if random is None else random)
    if ranks.first():
        state: dict[str, Tensor] = {**optimisers.state(), **drawn}
        state["best"] = torch.tensor([best.step, best.dice], dtype=torch.float64)
        progress = {"pending": position.pending, "log": dataclasses.asdict(position.log)}
        save(folder / LAST, method, dataclasses.replace(card, step=position.step, progress=progress), state)
    # None leaves before it is written.
    ranks.agreed(0)


def save_best(folder: Path, method: Method[Any], card: Card, step: int, dice: float, best: Best) -> Best:
    """Write the weights if they are better than the best so far; returns the best."""
    if dice <= best.dice:
        return best
    origin = {**card.origin, "validation_dice": round(dice, 6)}
    if ranks.first():
        save(folder / BEST, method, dataclasses.replace(card, step=step, origin=origin))
    return Best(step, dice)


def best_of(folder: Path) -> dict[str, Any]:
    """What a finished run says of its best weights: those that lie there.

    Where a run that was killed goes on with other bits, as on a GPU, they may be of the steps that it has lost.

    Raises:
        ModelError: they are damaged.
    """
    card = load_card(folder / BEST)
    return {"best_step": card.step, "validation_dice": card.origin["validation_dice"]}


def saved_card(folder: Path, tell: bool = True) -> Card | None:
    """The card of a run's newest whole checkpoint, or None before its first.

    Args:
        folder: the run's.
        tell: whether to report that a newer one is damaged.

    Raises:
        ModelError: there are checkpoints but none is usable.
    """
    last = folder / LAST
    if not (last / CARD).is_file() and not (last / PREVIOUS).is_file():
        return None
    return load_card(last, tell)


def restore(folder: Path, method: Method[Any], optimisers: Optimisers, card: Card) -> Position:
    """Put the newest whole checkpoint back; gives where it stands, which is the start if there is none.

    Raises:
        ModelError: there are checkpoints but none is usable, or they are of another method or experiment.
    """
    saved = saved_card(folder)
    _agree_on_step(folder, -1 if saved is None else saved.step)
    if saved is None:
        return Position()
    last = folder / LAST
    _check_origin(last, saved, card)
    for part in (last, folder / BEST):
        # A kill right after a card was written leaves the generation that it replaced.
        if ranks.first():
            drop_unnamed(part)
    try:
        method.load_state_dict(load_part(last, saved, "weights"))
    except RuntimeError as error:
        raise ModelError(f"{last} does not fit this method: {str(error).splitlines()[0]}") from error
    state = load_part(last, saved, "state")
    try:
        optimisers.restore(state)
        randomness.restore(_of_this_process(state))
        step, dice = state["best"].tolist()
        progress = saved.progress
        log = LogState.from_json(progress.get("log"))
        return Position(saved.step, Best(int(step), float(dice)), bool(progress.get("pending")), log)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise ModelError(f"{last} is damaged ({type(error).__name__} {error}): move it away to start anew") from error


def _agree_on_step(folder: Path, step: int) -> None:
    """Refuse processes that see different checkpoints, as where the folder is not shared.

    Raises:
        ModelError: they do.
    """
    latest, earliest = ranks.agreed(step), -ranks.agreed(-step)
    if latest != earliest:
        raise ModelError(
            f"{folder}: its processes find different checkpoints (steps {earliest} and {latest}; -1 is none): "
            "expected one folder that all of them share"
        )


def _of_every_process(own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The random states of the first process, and torch's of each other one under a name of its own."""
    states = dict(own)
    for name in ("random/cpu", "random/cuda"):
        if name in own:
            states |= {_name_at(rank, name): state for rank, state in enumerate(ranks.gathered(own[name]))}
    return states


def _of_this_process(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    own = {name: state[_name_at(ranks.rank(), name)] for name in state if _name_at(ranks.rank(), name) in state}
    return {**state, **own}


def _name_at(rank: int, name: str) -> str:
    return f"{name}/{rank}" if rank else name


def _check_origin(folder: Path, saved: Card, card: Card) -> None:
    for name in ("experiment", "teacher_weights"):
        then, now = saved.origin.get(name), card.origin.get(name)
        # Checkpoints of earlier versions do not tell the teacher's weights.
        if then != now and then is not None:
            raise ModelError(f"{folder} was trained with {name} {then}, now it is {now}: expected the same")
