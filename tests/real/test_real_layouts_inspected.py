"""Real patients, by links, in the names of every data set: `limbeck inspect` finds nothing that is wrong with them."""

import json
import os
from pathlib import Path

import pytest

from limbeck.anatomy import Modality
from limbeck.cli import main

REAL = os.environ.get("LIMBECK_REAL_DATA")
pytestmark = pytest.mark.skipif(not REAL, reason="LIMBECK_REAL_DATA does not name the folder of the real cases")
EARLY = {**{modality.role: modality.role for modality in Modality}, "seg": "seg"}
LATER = {"flair": "t2f", "t1": "t1n", "t1ce": "t1c", "t2": "t2w", "seg": "seg"}
WORDS = {"flair": "FLAIR", "t1": "T1w", "t1ce": "ce-gadolinium_T1w", "t2": "T2w", "seg": "dseg"}
# Names of BraTS, and the codes that these patients have whatever their names.
NAMED = {
    "2019": ("LGG/BraTS19_TCIA10_1_1/BraTS19_TCIA10_1_1_{}.nii.gz", EARLY, "auto"),
    "2020": ("BraTS20_Training_001/BraTS20_Training_001_{}.nii.gz", EARLY, "auto"),
    "2023": ("BraTS-GLI-00001-000/BraTS-GLI-00001-000-{}.nii.gz", LATER, "brats2018"),
    "2024": ("BraTS-GLI-02063-101/BraTS-GLI-02063-101-{}.nii.gz", LATER, "brats2018"),
    "BIDS": ("sub-01/anat/sub-01_{}.nii.gz", WORDS, "auto"),
}


def files(number):
    """The three patients that have a file for each sequence."""
    folder = sorted(Path(REAL).glob("BraTS20*/**/*_flair.nii.gz"))[number].parent
    return {role: folder / f"{folder.name}_{role}.nii.gz" for role in EARLY}


def laid(folder, pattern, names, number):
    for role, source in files(number).items():
        path = folder / pattern.format(names[role])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(source)
    return folder


def as_nnunet(folder, number):
    found = files(number)
    for place, modality in enumerate(Modality):
        path = folder / "imagesTr" / f"case_{place:04d}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(found[modality.role])
    (folder / "labelsTr").mkdir()
    (folder / "labelsTr" / "case.nii.gz").symlink_to(found["seg"])
    channels = {str(place): modality.name for place, modality in enumerate(Modality)}
    labels = {"background": 0, "necrosis": 1, "edema": 2, "enhancing tumor": 4}
    (folder / "dataset.json").write_text(
        json.dumps({"channel_names": channels, "labels": labels, "file_ending": ".nii.gz"})
    )
    return folder


def as_table(folder, number):
    found = files(number)
    folder.mkdir()
    (folder / "cases.csv").write_text(",".join(["case", *found]) + "\n" + ",".join(map(str, ["one", *found.values()])))
    return folder / "cases.csv"


def told(capsys, source, labels="auto"):
    code = main(["inspect", str(source), "--labels", labels, "--json"])
    return code, json.loads(capsys.readouterr().out)["findings"]


@pytest.mark.parametrize(("number", "name"), [(index % 3, name) for index, name in enumerate(NAMED)])
def test_names_of_any_year_have_no_findings(tmp_path, capsys, number, name):
    pattern, names, labels = NAMED[name]
    assert told(capsys, laid(tmp_path / "source", pattern, names, number), labels) == (0, [])


@pytest.mark.parametrize(("number", "lay"), [(1, as_nnunet), (2, as_table)])
def test_lists_of_files_have_no_findings(tmp_path, capsys, number, lay):
    assert told(capsys, lay(tmp_path / "source", number)) == (0, [])
