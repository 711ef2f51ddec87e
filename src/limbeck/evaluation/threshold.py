"""The threshold of a run's post-processing: chosen once, on the run's own validation cases, and kept with the run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limbeck.data.cohort import Cohort
from limbeck.data.usable import usable
from limbeck.durable import write_json
from limbeck.errors import ModelError, UsageError
from limbeck.evaluation.eligible import fold_of, judged_by
from limbeck.evaluation.protocol import Protocol
from limbeck.inference.crop import crop_of
from limbeck.inference.postprocess import DropSmallEnhancing, choose
from limbeck.inference.predictor import Predictor
from limbeck.methods import fields
from limbeck.methods.saved import Card
from limbeck.received import read_json

POSTPROCESS = "postprocess.json"
# More than a head has.
_MOST_MM3 = 1e9


def post_processing(folder: Path, cohort: Cohort, predictor: Predictor, protocol: Protocol) -> DropSmallEnhancing:
    """The post-processing of a run: its threshold is the best on the run's own validation cases, and nothing else.

    It is chosen once for each protocol and kept in the run's folder with what it was chosen on. A generalist's is
    chosen over the four single sequences and all four together.

    Args:
        folder: the run.
        cohort: the run's own cohort, if nothing is kept yet.
        predictor: of the run's checkpoint.
        protocol: what is predicted, and where it is looked at.

    Raises:
        ModelError: the run's record of its fold is missing or damaged.
        DataError: no validation case can be predicted.
    """
    card = predictor.card
    if (kept := stored_step(folder, card, protocol)) is not None:
        return kept
    subsets = judged_by(card.subsets)
    names = fold_of(folder, card.origin)["validation"]
    cases = usable([cohort.case(name) for name in names], subsets).cases
    crop = crop_of(protocol.extent)

    def pairs() -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8], float]]:
        for case in cases:
            reference, grid = case.reference()
            part = crop.native(case.geometry) if crop is not None else (slice(None),) * 3
            for subset in subsets:
                if subset.within(case.present):
                    labels = predictor.segment_case(case, subset, crop)
                    yield labels[part], reference[part], grid.voxel_mm3

    step = choose(pairs())
    choice = {
        "step": step.name,
        "threshold_mm3": step.threshold_mm3,
        "data": cohort.hash,
        "validation_cases": [case.id for case in cases],
        "subsets": [str(subset) for subset in subsets],
        "checkpoint": card.files,
    }
    write_json(folder / POSTPROCESS, {**_choices(folder), protocol.id: choice})
    return step


def stored_step(folder: Path, card: Card, protocol: Protocol, needed: bool = False) -> DropSmallEnhancing | None:
    """The step that was chosen for this checkpoint before, on the validation cases of the run's own cohort.

    Raises:
        ModelError: the run's record of its thresholds, or of its fold, is damaged.
        UsageError: one is `needed`, and none was chosen.
    """
    choice = _choices(folder).get(protocol.id, {})
    try:
        if choice and choice["checkpoint"] == card.files and choice["data"] == card.origin.get("data"):
            strangers = set(choice["validation_cases"]) - set(fold_of(folder, card.origin)["validation"])
            if strangers:
                raise ModelError(f"{folder / POSTPROCESS} was chosen by {min(strangers)}, which is no validation case")
            return DropSmallEnhancing(fields.number(choice["threshold_mm3"], "threshold_mm3", 0, _MOST_MM3))
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{folder / POSTPROCESS} is damaged: remove it, and its thresholds are chosen anew") from error
    if needed:
        raise UsageError(
            f"{folder.name} has no post-processing for {protocol.id} yet: evaluate it with --processed on the cohort "
            "that it was trained on first, whose validation cases choose the threshold"
        )
    return None


def _choices(folder: Path) -> dict[str, Any]:
    path = folder / POSTPROCESS
    if not path.exists():
        return {}
    try:
        return dict(read_json(path))
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(f"{path} is damaged: remove it, and its thresholds are chosen anew") from error
