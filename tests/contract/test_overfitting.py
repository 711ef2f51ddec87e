"""Every method can learn a toy by heart, at the depth of its network: a shallower one takes RIRN twice as long."""

from __future__ import annotations

import pytest
import torch
from toy import batch, labels, make
from unit.methods.yielded import descend

from limbeck.methods import METHODS
from limbeck.training.optimise import Optimisers, OptimiserSettings

FAST = OptimiserSettings(learning_rate=2e-3, weight_decay=0.0, schedule="constant")


@pytest.mark.parametrize("name", METHODS)
def test_overfits_a_patient(name: str) -> None:
    method = make(name)
    optimisers = Optimisers(method, FAST)
    data = batch(method.context.subsets)

    def share_after_ten_steps() -> float:
        for _ in range(10):
            descend(method, optimisers, data)
        with torch.inference_mode():
            found = method.target.decode(method.eval().predict(data.view))
        return float((found == labels()).float().mean())

    # RIRN, with its critic, takes all of the steps; most take ten or twenty.
    assert any(share_after_ten_steps() > 0.97 for _ in range(6))
