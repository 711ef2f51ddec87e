import json

import numpy as np
import pytest

from limbeck.anatomy import Modality
from limbeck.data.importers import IMPORTERS, detect_layout
from limbeck.data.importers.brats import patient
from limbeck.data.volume import read_labels, read_volume
from limbeck.errors import DataError, UsageError


def test_brats_from_any_level_of_its_folders(brats):
    case = brats / "HGG" / "Brats18_P1_1"
    for folder, count in ((brats.parent, 5), (brats, 5), (brats / "HGG", 2), (case, 1)):
        importer, explanation = detect_layout(folder)
        assert importer.name == "brats"
        assert "brats" in explanation
        assert importer.scheme(folder) == "brats2018"
        found = importer.find(folder)
        assert len(found) == count
        assert all(case.present == (True,) * 4 and case.labels for case in found)
    assert found[0].id == "Brats18_P1_1"
    assert found[0].images[Modality.T1CE].path == case / "Brats18_P1_1_t1ce.nii.gz"


def test_files_of_all_cases_in_one_folder(tmp_path, phantoms):
    for name in ("a", "b"):
        folder = phantoms.brats_case(tmp_path / "nested", name)
        for path in folder.iterdir():
            path.rename(tmp_path / path.name)
    assert [case.id for case in IMPORTERS["brats"].find(tmp_path)] == ["a", "b"]


def test_names_since_2023(tmp_path, phantoms):
    images, labels = phantoms.head()
    names = ("t2f", "t1n", "t1c", "t2w")
    for role, image in zip(names, images, strict=True):
        phantoms.save(tmp_path / "BraTS-GLI-00001-002" / f"BraTS-GLI-00001-002-{role}.nii.gz", image)
    phantoms.save(tmp_path / "BraTS-GLI-00001-002" / "BraTS-GLI-00001-002-seg.nii.gz", labels)
    importer, _ = detect_layout(tmp_path)
    assert importer.scheme(tmp_path) == "brats2023"
    (case,) = importer.find(tmp_path)
    assert (case.id, case.patient, case.present) == ("BraTS-GLI-00001-002", "BraTS-GLI-00001", (True,) * 4)
    for modality in Modality:
        assert np.array_equal(read_volume(case.images[modality])[0], images[modality])


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("Brats18_2013_2_1", "Brats18_2013_2"),
        ("BraTS19_TCIA_101_1", "BraTS19_TCIA_101"),
        ("BraTS20_Training_001", "BraTS20_Training_001"),
        ("BraTS2021_00410", "BraTS2021_00410"),
        ("BraTS-GLI-00005-100", "BraTS-GLI-00005"),
    ],
)
def test_examinations_of_a_patient(case, expected):
    assert patient(case) == expected


def test_a_segmentation_named_after_something_else(tmp_path, phantoms):
    """As W39_1998.09.19_Segm.nii in BraTS 2020."""
    folder = phantoms.brats_case(tmp_path, "BraTS20_Training_355", suffix=".nii")
    (folder / "BraTS20_Training_355_seg.nii").rename(folder / "W39_1998.09.19_Segm.nii")
    (case,) = IMPORTERS["brats"].find(tmp_path)
    assert case.labels.path.name == "W39_1998.09.19_Segm.nii"


def test_cases_that_lack_sequences_are_found(tmp_path, phantoms):
    phantoms.brats_case(tmp_path, "some", roles=("t1ce", "flair"), segmented=False)
    (case,) = IMPORTERS["brats"].find(tmp_path)
    assert case.present == (True, False, True, False)
    assert case.labels is None


def test_two_files_for_one_role_are_refused(tmp_path, phantoms):
    folder = phantoms.brats_case(tmp_path, "case")
    (folder / "case_t1n.nii.gz").write_bytes((folder / "case_t1.nii.gz").read_bytes())
    phantoms.brats_case(tmp_path / "again", "case")
    with pytest.raises(DataError) as caught:
        IMPORTERS["brats"].find(tmp_path)
    assert "is t1 of case case too" in str(caught.value)
    assert "another folder" in str(caught.value)


def test_the_decathlon_is_read_by_name_never_by_position(decathlon, phantoms):
    importer, _ = detect_layout(decathlon)
    assert (importer.name, importer.scheme(decathlon)) == ("msd", "msd")
    (case,) = importer.find(decathlon)
    images, labels = phantoms.head(seed=7)
    for modality in Modality:
        assert np.array_equal(read_volume(case.images[modality])[0], images[modality])
    assert np.array_equal(read_labels(case.labels, "msd")[0], labels)


def test_label_meanings_come_from_dataset_json(decathlon):
    path = decathlon / "dataset.json"
    content = json.loads(path.read_text())
    content["labels"] = {"0": "background", "1": "necrotic core", "2": "oedema", "3": "enhancing tumour"}
    path.write_text(json.dumps(content))
    assert IMPORTERS["msd"].scheme(decathlon) == "brats2023"
    content["labels"]["1"] = "liver"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="liver"):
        IMPORTERS["msd"].scheme(decathlon)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"modality": {"0": "CT"}}, "channel 0"),
        ({"modality": {"0": "T1w", "1": "T1n"}}, "are both"),
        ({"modality": None}, '"modality"'),
        ({"training": [{"image": "./imagesTr/lost.nii.gz", "label": "./labelsTr/lost.nii.gz"}]}, "not there"),
    ],
)
def test_a_bad_dataset_json(decathlon, change, expected):
    path = decathlon / "dataset.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(DataError, match=expected):
        IMPORTERS["msd"].find(decathlon)
    path.write_text("{")
    with pytest.raises(DataError, match="JSON"):
        IMPORTERS["msd"].find(decathlon)


def test_which_layout(tmp_path, brats, decathlon):
    with pytest.raises(DataError, match="no such folder"):
        detect_layout(tmp_path / "none")
    with pytest.raises(UsageError, match="did you mean 'brats'"):
        detect_layout(brats, "bratz")
    assert detect_layout(brats, "msd")[0].name == "msd"
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no known layout: looked for .*dataset\.json.*<case>_t1ce"):
        detect_layout(tmp_path / "empty")
    (brats / "HGG").rename(decathlon / "HGG")
    importer, explanation = detect_layout(decathlon)
    assert importer.name == "msd"
    assert "brats would fit too" in explanation


def test_bids_is_not_taken_for_brats(tmp_path, phantoms):
    phantoms.save(tmp_path / "sub-01" / "anat" / "sub-01_T1w.nii.gz", phantoms.head()[0][0])
    with pytest.raises(DataError, match="no known layout"):
        detect_layout(tmp_path)
