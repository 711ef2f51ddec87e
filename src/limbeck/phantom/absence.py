"""Which sequences a patient lacks: what a hospital's archive would not have either."""

from __future__ import annotations

import numpy as np

from limbeck.anatomy import Modality
from limbeck.phantom.share import GOLDEN, belongs

# Apart from the streams that draw the patient, so that what is there stays as it is.
_STREAM = 7_405_926


def absent(seed: int, index: int, share: float) -> tuple[Modality, ...]:
    """One to three sequences that a patient lacks, in canonical order; none for a patient who has all four.

    Who lacks something at a share lacks the same at any higher one.

    Args:
        seed: of the cohort.
        index: of the patient.
        share: of patients who lack something, 0..1.
    """
    if not belongs(seed, index, share, stream=_STREAM, step=GOLDEN):
        return ()
    rng = np.random.default_rng([seed, index, _STREAM])
    chosen = rng.permutation(len(Modality))[: int(rng.integers(1, len(Modality)))]
    return tuple(sorted(Modality(int(channel)) for channel in chosen))
