"""Where training goes."""

from __future__ import annotations

import pytest
import torch
from torch.cuda._utils import _get_device_index

from limbeck.training import trainer
from limbeck.training.trainer import TrainingSettings, fabric_for


def test_random_states_are_those_of_the_gpu_that_was_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch asks the current device for its state, whatever device a network lies on."""
    asked: list[int] = []
    monkeypatch.setattr(trainer, "pick_device", torch.device)
    monkeypatch.setattr(trainer, "uses_bf16", lambda precision, device: False)
    monkeypatch.setattr("lightning.fabric.Fabric", lambda **given: given)
    # As torch does, which takes no device without a number.
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: asked.append(_get_device_index(device)))
    for name, number in (("cuda:1", 1), ("cuda", 0)):
        assert fabric_for(TrainingSettings(device=name))["devices"] == [number]
    fabric_for(TrainingSettings(device="cpu"))
    assert asked == [1, 0]
