"""Losses in bf16 stay near those in float32: networks run in it, losses do not."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from toy import PROGRESS, batch, make

from limbeck.methods import METHODS
from limbeck.methods.base import Method
from limbeck.training.trainer import TrainingSettings, fabric_for

# bf16 keeps eight bits, 0.4 % of a value; sums over many voxels even that out. Measured: at most 0.3 % of a term.
TOLERANCE = 0.01
# Differences of cosines that are all near one lose more. Measured: 1.7 %.
WIDER = {"main/class_relation": 0.05}


def terms(method: Method[Any], precision: str) -> dict[str, torch.Tensor]:
    """Every term of a fixed batch, as the loop has it computed; nothing is descended."""
    fabric = fabric_for(TrainingSettings(precision=precision, device="cpu"))  # type: ignore[arg-type]
    found: dict[str, torch.Tensor] = {}
    torch.manual_seed(3)
    iterator = method.train().training_step(batch(method.context.subsets), PROGRESS)
    while True:
        with fabric.autocast():
            yielded = next(iterator, None)
        if yielded is None:
            return found
        found |= {
            f"{group}/{name}": value.detach() for group, terms in yielded.items() for name, value in terms.items()
        }


@pytest.mark.parametrize("name", METHODS)
def test_every_loss_term_in_bf16_is_near_its_float32(name: str) -> None:
    exact, rough = (terms(make(name), precision) for precision in ("float32", "bf16"))
    assert exact.keys() == rough.keys()
    for term, value in exact.items():
        assert rough[term].dtype == torch.float32, f"{term} was computed in {rough[term].dtype}"
        limit = WIDER.get(term, TOLERANCE)
        assert float(rough[term]) == pytest.approx(float(value), rel=limit, abs=0), f"{term} drifts"
    # The networks did run in it.
    assert any(float(exact[term]) != float(rough[term]) for term in exact)
