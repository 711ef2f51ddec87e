"""Who in a cohort belongs to a share of it."""

from __future__ import annotations

import numpy as np

# Multiples of an irrational number spread evenly over 0..1, however many are taken: any number of first patients has
# about the share. Shares that are to mix freely need steps of which no whole multiples differ by a whole number.
GOLDEN = (5**0.5 - 1) / 2
SILVER = 2**0.5 - 1


def belongs(seed: int, index: int, share: float, *, stream: int, step: float) -> bool:
    """Whether a patient belongs to the share; whoever belongs to it belongs to any higher one.

    Args:
        seed: of the cohort.
        index: of the patient.
        share: of patients, 0..1.
        stream: number of the random stream that says where to start; another for each property.
        step: an irrational number, `GOLDEN` or `SILVER`.
    """
    start = float(np.random.default_rng([seed, stream]).random())
    return (start + index * step) % 1 < share
