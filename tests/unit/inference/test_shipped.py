"""The weights in the box: there, small, whole, and what answers where no model is named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import limbeck
from limbeck.anatomy import Modality, Subset
from limbeck.cli import main
from limbeck.data.importers import detect_layout
from limbeck.data.volume import read_labels
from limbeck.evaluation.metrics import score
from limbeck.inference.choice import served
from limbeck.inference.model import SHIPPED, Model
from limbeck.inference.pack import MEMBERS, read_pack
from limbeck.phantom.cohort import write

MOST_BYTES = 25 * 1000 * 1000
SINGLES = ("flair", "t1", "t1ce", "t2")
# Dice of WT, TC and ET.
RECORDED: dict[str, list[float]] = {
    "flair": [0.724, 0.493, 0.190],
    "t1": [0.229, 0.006, 0.000],
    "t1ce": [0.586, 0.730, 0.365],
    "t2": [0.732, 0.662, 0.226],
    "flair+t1ce": [0.771, 0.657, 0.410],
}


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    """A patient of a seed that the weights have not seen."""
    folder = tmp_path_factory.mktemp("phantoms")
    write(folder, 1, seed=77, spacing_mm=2.0, workers=1)
    importer, _ = detect_layout(folder)
    (case,) = importer.find(folder)
    return case


def test_the_box_is_small_and_holds_nothing_but_data() -> None:
    files = [path for path in SHIPPED.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= MOST_BYTES
    assert {path.suffix for path in files} == {".json", ".safetensors", ".md"}


def test_a_generalist_and_four_specialists_are_in_it() -> None:
    members = read_pack(SHIPPED).members
    assert served([member.service for member in members]) == Subset.every()
    assert sorted(str(member.card.subsets[0]) for member in members if not member.generalist) == sorted(SINGLES)
    assert sum(member.generalist for member in members) == 1
    assert {member.card.method for member in members} == {"dropout", "limbeck"}


def test_its_card_says_what_must_be_said() -> None:
    card = (SHIPPED / "README.md").read_text()
    for words in ("not for clinical use", "synthetic patients alone", "real scans", "limbeck predict"):
        assert words in card


def test_nothing_lies_in_it_beside_its_members() -> None:
    assert {path.name for path in (SHIPPED / MEMBERS).iterdir()} == {one.name for one in read_pack(SHIPPED).members}


@pytest.mark.parametrize(("given", "kind"), [*((role, "specialist") for role in SINGLES), ("flair+t1ce", "generalist")])
def test_a_member_says_of_a_phantom_what_it_said_when_it_was_shipped(given: str, kind: str, phantom) -> None:  # type: ignore[no-untyped-def]
    """Whatever changes preprocessing, windows or networks makes the weights stale, and would be seen here."""
    model = limbeck.load(device="cpu", precision="float32")
    found = model.segment({modality.role: phantom.images[modality] for modality in Subset.parse(given)})
    assert found.choice.kind == kind
    assert _dice(phantom, found.labels) == pytest.approx(RECORDED[given], abs=0.005)


def _dice(case, labels) -> list[float]:  # type: ignore[no-untyped-def]
    reference, grid = read_labels(case.labels, "brats2018")
    return [one.value for one in score(labels, reference, grid.spacing_mm, ("dice",))]


def test_the_command_needs_no_model(phantom, tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    scan = phantom.images[Modality.T1CE].path
    assert main(["predict", "--t1ce", str(scan), "-o", str(tmp_path / "mask.nii.gz"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    shipped = Model.load(SHIPPED).identity()
    (member,) = facts["model"]["members"]
    assert facts["model"]["name"] == shipped["name"] and member in shipped["members"]


def test_help_about_it_needs_no_torch() -> None:
    words = [sys.executable, "-X", "importtime", "-m", "limbeck", "predict", "--help"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "200"})
    assert "weights in the box" in done.stdout
    assert " torch\n" not in done.stderr
