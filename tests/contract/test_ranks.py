"""Two processes that share a batch come to the weights of one that has it whole, for every method."""

from __future__ import annotations

from pathlib import Path

import pytest
import shared_steps
import torch
from begun import Begun
from safetensors.torch import load_file


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes came to."""
    folder = tmp_path_factory.mktemp("together")
    begun = [Begun(shared_steps.__file__, folder, rank) for rank in range(shared_steps.PROCESSES)]
    try:
        said = [process.communicate(timeout=300) for process in begun]
        assert [process.returncode for process in begun] == [0] * len(begun), said
    finally:
        for process in begun:
            process.kill()
    return folder


@pytest.mark.parametrize("variant", shared_steps.VARIANTS)
def test_two_processes_give_the_result_of_one_with_the_doubled_batch(together: Path, variant: str) -> None:
    alone = shared_steps.steps(variant)
    first, second = (load_file(together / f"{variant} {rank}.safetensors") for rank in range(2))
    assert alone.keys() == first.keys() == second.keys()
    for name, value in alone.items():
        assert torch.equal(first[name], second[name]), f"{name} differs between the processes"
        torch.testing.assert_close(first[name], value, rtol=1e-7, atol=1e-9, msg=lambda text, at=name: f"{at}: {text}")
