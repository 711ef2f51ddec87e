"""Which sequences a patient lacks: what a hospital's archive would not have either."""

from __future__ import annotations

import numpy as np

from limbeck.anatomy import Modality

# Apart from the streams that draw the patient, so that what is there stays as it is.
_STREAM = 7_405_926
# Multiples of it spread evenly over 0..1, however many are taken: any number of first patients has about the share.
_STEP = (5**0.5 - 1) / 2


def absent(seed: int, index: int, share: float) -> tuple[Modality, ...]:
    """One to three sequences that a patient lacks, in canonical order; none for a patient who has all four.

    Who lacks something at a share lacks the same at any higher one.

    Args:
        seed: of the cohort.
        index: of the patient.
        share: of patients who lack something, 0..1.
    """
    start = float(np.random.default_rng([seed, _STREAM]).random())
    if (start + index * _STEP) % 1 >= share:
        return ()
    rng = np.random.default_rng([seed, index, _STREAM])
    chosen = rng.permutation(len(Modality))[: int(rng.integers(1, len(Modality)))]
    return tuple(sorted(Modality(int(channel)) for channel in chosen))
