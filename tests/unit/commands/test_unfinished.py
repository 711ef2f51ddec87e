"""Whoever takes a run that is still in training is told so."""

from __future__ import annotations

from pathlib import Path

import pytest

from limbeck.commands.unfinished import tell_unfinished


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (["experiment.yaml"], True),
        (["experiment.yaml", "DONE"], False),
        ([], False),  # a pack
    ],
)
def test_only_a_run_that_is_not_at_its_end_is_told_with_its_step(files, said, tmp_path: Path, capsys) -> None:
    for name in files:
        (tmp_path / name).touch()
    tell_unfinished(tmp_path, 7)
    told = capsys.readouterr().err
    assert told == (f"limbeck: note: {tmp_path} is unfinished: its weights are of step 7\n" if said else "")
