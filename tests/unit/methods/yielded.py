"""What a method yields in one step, as the tests of single methods look at it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from toy import PROGRESS

from limbeck.batch import Batch
from limbeck.methods.base import Method, Progress
from limbeck.training.optimise import Optimisers
from limbeck.training.trainer import TrainingSettings, fabric_for


def terms(method: Method[Any], data: Batch, progress: Progress = PROGRESS) -> dict[str, Tensor]:
    """Every term of one step, whatever its group; nothing descends."""
    found: dict[str, Tensor] = {}
    for groups in method.train().training_step(data, progress):
        for named in groups.values():
            assert not found.keys() & named.keys(), "two terms have one name"
            found |= named
    return found


def values(method: Method[Any], data: Batch, progress: Progress = PROGRESS) -> dict[str, float]:
    """As `terms`, in numbers."""
    return {name: float(term.detach()) for name, term in terms(method, data, progress).items()}


def descend(
    method: Method[Any],
    optimisers: Optimisers,
    data: Batch,
    progress: Progress = PROGRESS,
    only: tuple[str, ...] | None = None,
) -> None:
    """One step of all groups, or of those named."""
    fabric = fabric_for(TrainingSettings(precision="float32", device="cpu"))
    for groups in method.train().training_step(data, progress):
        chosen = {group: named for group, named in groups.items() if only is None or group in only}
        if chosen:
            optimisers.descend(fabric, chosen)


def frozen_copy(module: torch.nn.Module) -> dict[str, Tensor]:
    """A module's parameters and buffers as they are now."""
    return {key: value.detach().clone() for key, value in module.state_dict().items()}


def changed(module: torch.nn.Module, before: dict[str, Tensor]) -> list[str]:
    """The names of what is no longer as it was."""
    return [key for key, value in module.state_dict().items() if not torch.equal(value, before[key])]
