"""What is said of a run whose training has not come to its end."""

from __future__ import annotations

import sys
from pathlib import Path


def tell_unfinished(model: Path, step: int) -> None:
    """Say so if a model is the folder of a run that is not finished; a pack always is."""
    from limbeck.inference.predictor import DONE  # noqa: PLC0415 - torch
    from limbeck.training.record import EXPERIMENT  # noqa: PLC0415

    if (model / EXPERIMENT).is_file() and not (model / DONE).is_file():
        print(f"limbeck: note: {model} is unfinished: its weights are of step {step}", file=sys.stderr)
