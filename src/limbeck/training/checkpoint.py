"""Checkpoints of a run: `last/` continues it to the bit, `best/` is what prediction uses."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from limbeck.errors import ModelError
from limbeck.methods.base import Method
from limbeck.methods.saved import CARD, Card, load_card, load_part, save
from limbeck.training.optimise import Optimisers

LAST, BEST = "last", "best"


@dataclass(frozen=True)
class Best:
    """The best validation so far: its step, and the mean Dice over cases and regions."""

    step: int = 0
    dice: float = -1.0


def save_last(folder: Path, method: Method[Any], card: Card, step: int, optimisers: Optimisers, best: Best) -> None:
    """Write the state after `step` steps: weights, buffers, optimisers, random state."""
    state: dict[str, Tensor] = {**optimisers.state(), "random/cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["random/cuda"] = torch.cuda.get_rng_state()
    state["best"] = torch.tensor([best.step, best.dice], dtype=torch.float64)
    save(folder / LAST, method, dataclasses.replace(card, step=step), state)


def save_best(folder: Path, method: Method[Any], card: Card, step: int, dice: float, best: Best) -> Best:
    """Write the weights if they are better than the best so far; returns the best."""
    if dice <= best.dice:
        return best
    origin = {**card.origin, "validation_dice": round(dice, 6)}
    save(folder / BEST, method, dataclasses.replace(card, step=step, origin=origin))
    return Best(step, dice)


def restore(folder: Path, method: Method[Any], optimisers: Optimisers) -> tuple[int, Best]:
    """Put the newest whole checkpoint back; gives the steps behind it and the best validation, or a fresh start.

    Raises:
        ModelError: there are checkpoints but none is usable, or they are of another method.
    """
    last = folder / LAST
    if not (last / CARD).is_file():
        return 0, Best()
    card = load_card(last)
    try:
        method.load_state_dict(load_part(last, card, "weights"))
    except RuntimeError as error:
        raise ModelError(f"{last} does not fit this method: {str(error).splitlines()[0]}") from error
    state = load_part(last, card, "state")
    optimisers.restore(state)
    torch.set_rng_state(state["random/cpu"])
    if "random/cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["random/cuda"])
    step, dice = state["best"].tolist()
    return card.step, Best(int(step), float(dice))
