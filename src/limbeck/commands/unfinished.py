"""What is said of a run whose training has not come to its end."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from limbeck.inference.member import Member


def tell_unfinished(model: Path, members: Sequence[Member]) -> None:
    """Say so if a model, of such members, is the folder of a run that is not finished; a pack always is."""
    from limbeck.methods.saved import DONE  # noqa: PLC0415 - torch
    from limbeck.training.record import EXPERIMENT  # noqa: PLC0415

    if (model / EXPERIMENT).is_file() and not (model / DONE).is_file():
        step = members[0].card.step
        print(f"limbeck: note: {model} is unfinished: its weights are of step {step}", file=sys.stderr)
