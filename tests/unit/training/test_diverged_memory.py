"""A student that has diverged takes no more memory than its weights while the others go on."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from toy import SIZE, batch, make

from limbeck.methods.saved import Card
from limbeck.training import randomness, trainer
from limbeck.training.optimise import DivergedError, OptimiserSettings
from limbeck.training.trainer import Job, Member, TrainingSettings, fabric_for, train_together


def test_nothing_of_its_last_step_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    method = make("supervised")
    card = Card("supervised", vars(method.settings), method.context.subsets, method.target, 2.0, (SIZE,) * 3)
    settings = TrainingSettings(steps=4, precision="float32", device="cpu")
    terms: list[Any] = []
    moments: list[Any] = []
    step, noted = type(method).training_step, trainer._terms

    def steep(self: Any, data: Any, progress: Any) -> Any:
        for objectives in step(self, data, progress):
            if progress.step == 2:
                # The root of zero has an infinite slope: a finite loss with a gradient that is not.
                objectives["main"]["segmentation"] = (objectives["main"]["segmentation"] * 0.0).sqrt()
            yield objectives

    def watched(objectives: Any) -> dict[str, float]:
        terms.extend(weakref.ref(value) for value in objectives["main"].values())
        return noted(objectives)

    def of_loops(loops: Any) -> None:
        moments.extend(weakref.ref(loop.optimisers) for loop in loops if loop.diverged is None)

    follow = trainer._follow
    monkeypatch.setattr(trainer, "_follow", lambda loops, steps: (of_loops(loops), follow(loops, steps))[1])
    monkeypatch.setattr(type(method), "training_step", steep)
    monkeypatch.setattr(trainer, "_terms", watched)
    job = Job(
        tmp_path,
        card,
        lambda start: (batch(method.context.subsets, seed=at) for at in range(start, 4)),
        lambda method: 0.0,
        lambda done, loss: None,
    )
    (end,) = train_together(
        [Member(method, job, randomness.state())], settings, OptimiserSettings(), fabric_for(settings)
    )
    gc.collect()
    assert isinstance(end, DivergedError) and "step 2" in str(end)
    assert len(terms) > 2 and not [term() for term in terms if term() is not None]
    assert len(moments) > 1 and not [each() for each in moments if each() is not None]
    assert all(weights.grad is None for weights in method.parameters())
    assert torch.isfinite(torch.cat([weights.flatten() for weights in method.parameters()])).all()
