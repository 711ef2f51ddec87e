"""Every generator's state: torch's, NumPy's and Python's own, so that a resumed run draws what it would have drawn."""

from __future__ import annotations

import random
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor


def seed(number: int) -> None:
    """Start all generators from one number."""
    torch.manual_seed(number)
    # NumPy's own takes 32 bits.
    np.random.seed(number % 2**32)
    random.seed(number)


def part(number: int, rank: int) -> None:
    """Have torch draw other numbers in each process, as for other samples; the first goes on as it is."""
    if rank:
        torch.manual_seed(int(np.random.SeedSequence([number, rank]).generate_state(1, np.uint64)[0]) >> 1)


def state() -> dict[str, Tensor]:
    """The states as tensors, by name."""
    _, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    _, words, pending = random.getstate()
    states = {
        "random/cpu": torch.get_rng_state(),
        "random/numpy": torch.from_numpy(np.asarray(keys).astype(np.int64)),
        "random/numpy_gauss": torch.tensor([position, has_gauss, gauss], dtype=torch.float64),
        "random/python": torch.tensor(words, dtype=torch.int64),
        "random/python_gauss": torch.tensor([] if pending is None else [pending], dtype=torch.float64),
    }
    if torch.cuda.is_available():
        states["random/cuda"] = torch.cuda.get_rng_state()
    return states


def restore(states: Mapping[str, Tensor]) -> None:
    """Put back what `state` gave; generators of which an older checkpoint says nothing stay as they are."""
    torch.set_rng_state(states["random/cpu"])
    if "random/cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["random/cuda"])
    if "random/numpy" in states:
        position, has_gauss, gauss = states["random/numpy_gauss"].tolist()
        keys = states["random/numpy"].numpy().astype(np.uint32)
        np.random.set_state(("MT19937", keys, int(position), int(has_gauss), gauss))
        pending = states["random/python_gauss"].tolist()
        random.setstate((3, tuple(states["random/python"].tolist()), pending[0] if pending else None))
