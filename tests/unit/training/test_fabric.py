"""Where training goes."""

from __future__ import annotations

import pytest
import torch

from limbeck.training import trainer
from limbeck.training.trainer import TrainingSettings, fabric_for


def test_random_states_are_those_of_the_gpu_that_was_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch asks the current device for its state, whatever device a network lies on."""
    asked: list[object] = []
    monkeypatch.setattr(trainer, "pick_device", torch.device)
    monkeypatch.setattr(trainer, "uses_bf16", lambda precision, device: False)
    monkeypatch.setattr("lightning.fabric.Fabric", lambda **given: given)
    monkeypatch.setattr(torch.cuda, "set_device", asked.append)
    assert fabric_for(TrainingSettings(device="cuda:1"))["devices"] == [1]
    assert asked == [torch.device("cuda:1")]
    fabric_for(TrainingSettings(device="cpu"))
    assert len(asked) == 1
