"""A run is scored only on what it can be scored on."""

from __future__ import annotations

from pathlib import Path

import pytest

from limbeck.anatomy import Subset
from limbeck.data.cohort import Cohort
from limbeck.errors import UsageError
from limbeck.methods import build, find
from limbeck.methods.base import Context
from limbeck.methods.saved import Card, save
from limbeck.normalisation import Normalisation
from limbeck.scoring import DONE, evaluate_run
from limbeck.target import Target


@pytest.mark.parametrize("trained", Normalisation)
def test_a_cohort_of_other_intensities_is_refused(tmp_path: Path, trained: Normalisation) -> None:
    (other,) = set(Normalisation) - {trained}
    subsets = (Subset.parse("flair"),)
    method = build("supervised", find("supervised").Settings(width=8), Context(subsets))
    card = Card("supervised", {"width": 8}, subsets, Target.SOFTMAX_LABELS, 2.0, (16,) * 3, normalisation=trained)
    save(tmp_path / "run" / "best", method, card)
    (tmp_path / "run" / DONE).touch()
    cohort = Cohort(tmp_path / "data", "brats", "brats2018", 2.0, "hash", (), {}, other)
    with pytest.raises(UsageError, match=rf"data: intensities are {other}, .* trained on {trained}: .*--normalisation"):
        evaluate_run(tmp_path / "run", cohort, device="cpu")
