"""Processes that trained together part when they have come to their end, and not while one of them may still wait."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch.distributed as dist

from limbeck import cli, ranks
from limbeck.errors import DataError
from limbeck.training.interrupts import Interrupted

TORCHRUN = {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "MASTER_ADDR": "node1"}


@pytest.fixture
def joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A group of torch that we have begun; that the other process is none does not matter here."""
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'meeting'}", rank=0, world_size=1)
    monkeypatch.setattr(ranks._Group, "processes", 2)
    yield
    if dist.is_initialized():
        dist.destroy_process_group()


def trained(end: BaseException | None) -> int:
    def run(words: list[str]) -> int:
        if end is not None:
            raise end
        return 0

    return cli._trained(SimpleNamespace(run=run), [])  # type: ignore[arg-type]


def test_after_training_a_process_is_alone_again(joined: None) -> None:
    assert trained(None) == 0
    assert ranks.world() == 1 and not dist.is_initialized()
    # Who is alone has nothing to end.
    ranks.end()


def test_after_a_signal_to_all_too(joined: None) -> None:
    with pytest.raises(Interrupted):
        trained(Interrupted(15, " after step 3 of 7, which is kept"))
    assert not dist.is_initialized()


@pytest.mark.parametrize("end", [Interrupted(15), DataError("flair.npy: damaged")])
def test_one_that_breaks_leaves_at_once(joined: None, end: BaseException) -> None:
    with pytest.raises(type(end)):
        trained(end)
    assert dist.is_initialized()
