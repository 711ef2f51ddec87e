"""Optimisers made once for a method's groups, the learning rate's schedule, and one descent."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from limbeck import ranks
from limbeck.errors import LimbeckError, require
from limbeck.methods.base import Descent, Method

if TYPE_CHECKING:
    from lightning.fabric import Fabric


@dataclass(frozen=True)
class OptimiserSettings:
    """How weights are moved.

    Attributes:
        optimiser: Adam, AdamW with decoupled weight decay, or SGD with Nesterov momentum (nnU-Net).
        learning_rate: at the start (ACN, GKD, RIRN: 1e-4; PKDR: 1e-3).
        weight_decay: (ACN, PKDR: 1e-5; nnU-Net: 3e-5).
        momentum: of SGD (nnU-Net: 0.99); Adam and AdamW have none.
        schedule: poly decays as (1 - step / steps)^0.9 (GKD, PKDR, RIRN; nnU-Net); cosine ends at zero too.
        warmup: steps over which the learning rate rises from zero.
        clip: largest gradient norm of a group; 0 leaves gradients as they are.
    """

    optimiser: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: float = 1e-4
    weight_decay: float = 1e-5
    momentum: float = 0.99
    schedule: Literal["poly", "cosine", "constant"] = "poly"
    warmup: int = 0
    clip: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what cannot move weights, before anything is read.

        Raises:
            UsageError: a value is out of its range.
        """
        require(0 < self.learning_rate < math.inf, "learning_rate", self.learning_rate, "a number above 0")
        require(0 <= self.weight_decay < math.inf, "weight_decay", self.weight_decay, "0 or a number above it")
        require(0 < self.momentum < 1, "momentum", self.momentum, "above 0 and below 1")
        require(self.warmup >= 0, "warmup", self.warmup, "0 or a number of steps")
        require(0 <= self.clip < math.inf, "clip", self.clip, "0 or a number above it")


class DivergedError(LimbeckError):
    """A loss or a gradient is no longer finite; no optimiser has stepped on it.

    Attributes:
        problem: what was found.
        values: what was computed: norms by group, or terms by name.
    """

    def __init__(self, problem: str, values: Mapping[str, float], where: str = "") -> None:
        super().__init__(f"{problem}{where}: lower learning_rate")
        self.problem, self.values = problem, values


class Optimisers:
    """One optimiser a group. Gradients of all groups are taken before any group steps."""

    def __init__(self, method: Method[Any], settings: OptimiserSettings) -> None:
        self.settings = settings
        self.groups: Mapping[str, list[nn.Parameter]] = method.parameter_groups()
        self.descents = {name: method.descents().get(name, Descent()) for name in self.groups}
        self.by_group = {
            name: _optimiser(parameters, settings, self.descents[name]) for name, parameters in self.groups.items()
        }

    def schedule(self, step: int, steps: int) -> float:
        """Set and return the learning rate of a step (counted from 0), before a group's own factor."""
        rate = self.settings.learning_rate * rate_factor(self.settings, step, steps)
        for name, optimiser in self.by_group.items():
            for group in optimiser.param_groups:
                group["lr"] = rate * self.descents[name].rate
        return rate

    def descend(self, fabric: Fabric, objectives: Mapping[str, Mapping[str, Tensor]]) -> dict[str, float]:
        """One descent of the groups that were yielded together; returns each group's gradient norm.

        Raises:
            DivergedError: a gradient is NaN or infinite; no group has stepped.
        """
        names = list(objectives)
        norms: dict[str, float] = {}
        for index, name in enumerate(names):
            self.by_group[name].zero_grad(set_to_none=True)
            total = torch.stack([term.float() for term in objectives[name].values()]).sum()
            fabric.backward(total, inputs=self.groups[name], retain_graph=index + 1 < len(names))
        # One mean for all groups: the processes meet once, after the last gradient and before the first step.
        ranks.average([each.grad for name in names for each in self.groups[name] if each.grad is not None])
        for name in names:
            limit = self.settings.clip or math.inf
            norms[name] = float(nn.utils.clip_grad_norm_(self.groups[name], limit))
        for name, norm in norms.items():
            if not math.isfinite(norm):
                raise DivergedError(f"the gradient of group {name} is {norm}", norms)
        for name in names:
            self.by_group[name].step()
        return norms

    def state(self) -> dict[str, Tensor]:
        """The optimisers' tensors under flat names."""
        flat: dict[str, Tensor] = {}
        for name, optimiser in self.by_group.items():
            for index, entry in optimiser.state_dict()["state"].items():
                for key, value in entry.items():
                    flat[f"optimiser/{name}/{index}/{key}"] = torch.as_tensor(value)
        return flat

    def restore(self, flat: Mapping[str, Tensor]) -> None:
        """Put back what `state` gave."""
        for name, optimiser in self.by_group.items():
            content = optimiser.state_dict()
            entries: dict[int, dict[str, Tensor]] = {}
            prefix = f"optimiser/{name}/"
            for key, value in flat.items():
                if key.startswith(prefix):
                    index, field = key.removeprefix(prefix).split("/")
                    entries.setdefault(int(index), {})[field] = value
            content["state"] = entries
            optimiser.load_state_dict(content)


def _optimiser(parameters: list[nn.Parameter], settings: OptimiserSettings, descent: Descent) -> torch.optim.Optimizer:
    rate, decay = settings.learning_rate, settings.weight_decay
    if settings.optimiser == "sgd":
        return torch.optim.SGD(parameters, rate, settings.momentum, weight_decay=decay, nesterov=True)
    kind = torch.optim.AdamW if settings.optimiser == "adamw" else torch.optim.Adam
    return kind(parameters, rate, descent.betas, weight_decay=decay)


def rate_factor(settings: OptimiserSettings, step: int, steps: int) -> float:
    """The schedule's factor on the learning rate."""
    warm = min(1.0, (step + 1) / settings.warmup) if settings.warmup else 1.0
    left = 1.0 - step / steps
    factors = {"poly": left**0.9, "cosine": 0.5 * (1.0 + math.cos(math.pi * step / steps)), "constant": 1.0}
    return float(warm * factors[settings.schedule])
