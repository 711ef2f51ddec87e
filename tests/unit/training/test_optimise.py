"""Schedules against hand-made values, and no step on a gradient that is not finite."""

from __future__ import annotations

import math

import pytest
import torch
from toy import PROGRESS, batch, make

from limbeck.training.optimise import DivergedError, Optimisers, OptimiserSettings, rate_factor
from limbeck.training.trainer import TrainingSettings, fabric_for


@pytest.mark.parametrize(
    ("schedule", "step", "factor"),
    [("poly", 0, 1.0), ("poly", 50, 0.5**0.9), ("cosine", 50, 0.5), ("cosine", 75, 0.1464466), ("constant", 99, 1.0)],
)
def test_schedules(schedule, step, factor) -> None:
    assert rate_factor(OptimiserSettings(schedule=schedule), step, 100) == pytest.approx(factor)


def test_warmup_rises_linearly_to_the_schedule() -> None:
    settings = OptimiserSettings(schedule="constant", warmup=4)
    assert [rate_factor(settings, step, 100) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_no_optimiser_steps_on_a_gradient_that_is_not_finite() -> None:
    method = make("supervised")
    optimisers = Optimisers(method, OptimiserSettings(clip=5.0))
    before = {key: value.clone() for key, value in method.state_dict().items()}
    (objectives,) = method.train().training_step(batch(method.context.subsets), PROGRESS)
    # The root of zero has an infinite slope: a finite loss with a gradient that is not.
    objectives["main"]["segmentation"] = (objectives["main"]["segmentation"] * 0.0).sqrt()
    with pytest.raises(DivergedError, match="gradient of group main"):
        optimisers.descend(fabric_for(TrainingSettings(precision="float32", device="cpu")), objectives)
    for key, value in method.state_dict().items():
        assert torch.equal(value, before[key])


def test_clipping_bounds_the_step_and_reports_the_norm_before() -> None:
    method = make("supervised")
    optimisers = Optimisers(method, OptimiserSettings(clip=1e-3))
    (objectives,) = method.train().training_step(batch(method.context.subsets), PROGRESS)
    norms = optimisers.descend(fabric_for(TrainingSettings(precision="float32", device="cpu")), objectives)
    clipped = math.sqrt(sum(float(p.grad.square().sum()) for p in method.parameters() if p.grad is not None))
    assert norms["main"] > 1e-3
    assert clipped == pytest.approx(1e-3, rel=1e-3)
