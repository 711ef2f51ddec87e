"""The script that trains the weights in the box, on a handful of phantoms: a pack like the shipped one comes out."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import real_cases
import torch
import weights
from safetensors.torch import load_file

from limbeck.anatomy import Subset
from limbeck.cli import main
from limbeck.inference.choice import served
from limbeck.inference.model import SHIPPED
from limbeck.inference.pack import read_pack

TINY = ["--cases", "6", "--spacing", "6", "--patch", "24", "--folds", "3", "--steps", "2", "--student-steps", "2"]


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Each start of a process would cost seconds."""

    def run(*words: str | Path) -> list[str]:
        capsys.readouterr()
        assert main([str(word) for word in words]) == 0
        return capsys.readouterr().out.strip().splitlines()

    monkeypatch.setattr(weights, "limbeck", run)
    monkeypatch.setattr("limbeck.phantom.cohort.processors", lambda: 1)


@pytest.mark.usefixtures("in_this_process")
def test_a_generalist_and_four_students_come_out_as_a_pack_of_half_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [*TINY, "--out", str(tmp_path), "--note", "Made in a test."]
    monkeypatch.setattr(sys, "argv", ["weights.py", *words])
    weights.main()
    pack = read_pack(tmp_path / "model")
    assert served([member.service for member in pack.members]) == Subset.every()
    assert [member.card.method for member in pack.members] == ["dropout"] + 4 * ["limbeck"]
    # But for their weights they are what is shipped.
    shipped = read_pack(SHIPPED)
    assert [member.card.settings for member in pack.members] == [member.card.settings for member in shipped.members]
    assert "Made in a test." in (tmp_path / "model" / "README.md").read_text()
    stored = [load_file(path) for path in (tmp_path / "model").rglob("weights-*")]
    assert {tensor.dtype for tensors in stored for tensor in tensors.values()} == {torch.float16}
    # The same command again finds what is trained.
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("weights-*")}
    weights.main()
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("weights-*")} == before
    # Real cases are scored by files and layout alone, so phantoms do for the script.
    monkeypatch.setattr(
        sys,
        "argv",
        [
            "real_cases.py",
            "--real",
            str(tmp_path / "source"),
            "--model",
            str(tmp_path / "model"),
            "--out",
            str(tmp_path),
        ],
    )
    source = tmp_path / "source" / "BraTS2021"
    source.mkdir(parents=True)
    case = tmp_path / "phantoms" / "BraTS2021_00001"
    (source / case.name).symlink_to(case)
    real_cases.main()
    table = (tmp_path / "table.md").read_text()
    assert table.count("| generalist |") == 11 and table.count("| specialist |") == 4
    assert len(list((tmp_path / "overlays").glob("*.png"))) == 5
