"""A run that came to NaN or infinity: the step that did it, kept for study beside the checkpoints it leaves alone."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from limbeck import ranks
from limbeck.batch import Batch
from limbeck.durable import write_json
from limbeck.methods.base import Method
from limbeck.methods.saved import Card, save
from limbeck.training import randomness

DIVERGED, REPORT = "diverged", "step.json"


@dataclass(frozen=True)
class Before:
    """What a step started from.

    Attributes:
        weights: parameters and buffers by name; parameters only if the method steps more than once a step, since
            nothing has moved them otherwise.
        random: the random states.
    """

    weights: Mapping[str, Tensor]
    random: Mapping[str, Tensor]

    @classmethod
    def of(cls, method: Method[Any], descents: int) -> Before:
        """Remember a method, which took so many descents in its last step (0: it has taken none yet)."""
        kept = method.named_buffers() if descents == 1 else method.state_dict().items()
        return cls({name: tensor.detach().clone() for name, tensor in kept}, randomness.state())


def keep(
    folder: Path, method: Method[Any], card: Card, before: Before, batch: Batch, step: int, values: Mapping[str, float]
) -> Path:
    """Write a step that is not finite: the weights before it, the random states, its cases and terms.

    Args:
        folder: the run's; `diverged/` in it is written.
        method: is put back to where the step began.
        card: what it says of itself.
        before: where the step began.
        batch: its batch; where there are several processes, this one's part.
        step: steps taken before it.
        values: what was computed, by name.
    """
    target = folder / DIVERGED
    method.load_state_dict(before.weights, strict=False)
    samples = _of_all_processes(batch)
    if not ranks.first():
        return target
    save(target, method, dataclasses.replace(card, step=step), dict(before.random))
    report = {
        "step": step,
        **samples,
        "not_finite": [name for name, value in values.items() if not math.isfinite(value)],
        # JSON has no word for what is not finite.
        "values": {name: value if math.isfinite(value) else str(value) for name, value in values.items()},
    }
    write_json(target / REPORT, report)
    return target


def _of_all_processes(batch: Batch) -> dict[str, list[Any]]:
    own = {
        "cases": list(batch.case_ids),
        "origins": batch.view.origin.tolist(),
        "available": batch.view.available.tolist(),
        "present": batch.present.tolist(),
    }
    parts = [json.loads(text) for text in ranks.told(json.dumps(own))]
    return {name: [item for part in parts for item in part[name]] for name in own}
