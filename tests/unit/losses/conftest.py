"""The generator and the labels behind the golden values."""

import math

import pytest
import torch


def _wave(shape, a, b):
    k = torch.arange(math.prod(shape), dtype=torch.float64)
    return torch.sin(a * k + b + 0.003 * k * k).reshape(shape)


@pytest.fixture(scope="session")
def wave():
    """`wave(shape, a, b)`: flat element `k` is `sin(a k + b + 0.003 k^2)`, float64."""
    return _wave


@pytest.fixture
def labels():
    """Two samples of `8^3` voxels, of which the second has no enhancing tumour."""
    codes = torch.zeros(2, 8, 8, 8, dtype=torch.long)
    codes[0, 1:7, 1:7, 1:7] = 2
    codes[0, 2:6, 2:6, 2:6] = 3
    codes[0, 3:5, 3:5, 3:5] = 1
    codes[1, 0:4, 0:4, 0:4] = 2
    codes[1, 1:3, 1:3, 1:3] = 1
    return codes
