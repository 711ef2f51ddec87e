"""Phantoms of cohorts, each drawn once for all tests: the same arguments give the same patient."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

from limbeck.phantom.patient import Patient, make


def drawn_once(kept: Path) -> Callable[..., Patient]:
    """`make`, which looks first for what it or another worker has drawn.

    What tests another process, or `make` itself, draws anew: only `cohort` in a test's own process is given this.

    Args:
        kept: folder of the patients that were drawn; made where it is missing.
    """
    kept.mkdir(exist_ok=True)

    def drawn(seed: int, index: int, spacing_mm: float, *, operated: bool) -> Patient:
        whole = kept / f"{seed} {index} {spacing_mm} {operated}"
        if not whole.exists():
            begun = whole.with_name(f"{whole.name} {os.getpid()}")
            begun.write_bytes(pickle.dumps(make(seed, index, spacing_mm, operated=operated)))
            begun.rename(whole)
        patient: Patient = pickle.loads(whole.read_bytes())
        return patient

    return drawn
