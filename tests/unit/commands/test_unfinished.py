"""Whoever takes a run that is still in training is told so."""

from __future__ import annotations

from pathlib import Path

import pytest
from segmenting import write_model

from limbeck.commands.unfinished import tell_unfinished
from limbeck.export.exporting import members_of


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (["experiment.yaml"], True),
        (["experiment.yaml", "DONE"], False),
        ([], False),  # a pack
    ],
)
def test_only_a_run_that_is_not_at_its_end_is_told_with_its_step(files, said, tmp_path: Path, capsys) -> None:
    model = write_model(tmp_path / "model")
    for name in files:
        (model / name).touch()
    tell_unfinished(model, members_of(model))
    told = capsys.readouterr().err
    assert told == (f"limbeck: note: {model} is unfinished: its weights are of step 0\n" if said else "")
