"""What is done to a scan's intensities before a network sees them; a cohort records it, and so does a model."""

from __future__ import annotations

from enum import StrEnum


class Normalisation(StrEnum):
    """How a sequence's intensities are normalised; the value is what files and the command line say."""

    # Zero mean and unit deviation over the sequence's own non-zero voxels.
    Z_SCORE = "z-score"
    # None: intensities as the scanner gave them. MTCM-KD as published, whose `x - min / max - min` changes nothing
    # where the minimum is 0.
    RAW = "raw"
