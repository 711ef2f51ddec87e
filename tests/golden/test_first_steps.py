"""The first three steps of every method, as they were when its numbers were last measured.

A change here is a change of results: it belongs under **Results** in the changelog. To record again, print the rows
that the test compares. The tolerance leaves room for another processor's order of sums, not for another formula.
"""

from __future__ import annotations

import pytest
import torch
from toy import PROGRESS, batch, make

from limbeck.methods import METHODS
from limbeck.training.optimise import Optimisers, OptimiserSettings
from limbeck.training.trainer import TrainingSettings, fabric_for

RECORDED: dict[str, list[dict[str, float]]] = {
    "supervised": [
        {"main/segmentation": 2.705898},
        {"main/segmentation": 2.126960},
        {"main/segmentation": 1.610529},
    ],
    "dropout": [
        {"main/segmentation": 2.439792},
        {"main/segmentation": 1.878155},
        {"main/segmentation": 1.672399},
    ],
    "gkd": [
        {"main/segmentation": 2.705898, "main/soft_labels": 0.608141, "main/region_attention": 2.793392},
        {"main/segmentation": 2.286522, "main/soft_labels": 0.589675, "main/region_attention": 1.189332},
        {"main/segmentation": 1.784717, "main/soft_labels": 0.508181, "main/region_attention": 0.549496},
    ],
}


def first_steps(name: str) -> list[dict[str, float]]:
    """Every term of three steps on toy patients, float32."""
    method = make(name)
    optimisers = Optimisers(method, OptimiserSettings(learning_rate=1e-3))
    fabric = fabric_for(TrainingSettings(precision="float32", device="cpu"))
    rows = []
    for index in range(3):
        row: dict[str, float] = {}
        for yielded in method.train().training_step(batch(method.context.subsets, seed=index), PROGRESS):
            row |= {f"{g}/{t}": float(v.detach()) for g, terms in yielded.items() for t, v in terms.items()}
            optimisers.descend(fabric, yielded)
        rows.append(row)
    return rows


@pytest.mark.parametrize("name", METHODS)
def test_first_steps_are_the_recorded_ones(name: str) -> None:
    torch.use_deterministic_algorithms(True)
    try:
        found = first_steps(name)
    finally:
        torch.use_deterministic_algorithms(False)
    assert [row.keys() for row in found] == [row.keys() for row in RECORDED[name]]
    for row, recorded in zip(found, RECORDED[name], strict=True):
        assert row == pytest.approx(recorded, rel=2e-4)
