import json

import numpy as np
import pytest

from limbeck.anatomy import Modality
from limbeck.data.importers import IMPORTERS, detect_layout
from limbeck.data.volume import read_labels, read_volume
from limbeck.errors import DataError

CHANNELS = {"0": "T1", "1": "T1ce", "2": "T2", "3": "Flair"}
OEDEMA_FIRST = {"background": 0, "edema": 1, "non-enhancing and necrosis": 2, "enhancing tumor": 3}


def describe(folder, **entries):
    content = {"channel_names": CHANNELS, "labels": OEDEMA_FIRST, "file_ending": ".nii.gz", **entries}
    (folder / "dataset.json").write_text(
        json.dumps({key: value for key, value in content.items() if value is not None})
    )


@pytest.fixture
def raw(tmp_path, phantoms):
    """Two cases for training, of which the second has no T1, and one for testing without labels."""
    folder = tmp_path / "Dataset137_BraTS2021"
    for seed, (part, case) in enumerate((("Tr", "BraTS2021_00000"), ("Tr", "BraTS2021_00002"), ("Ts", "later"))):
        images, labels = phantoms.head(seed=seed)
        for channel, role in CHANNELS.items():
            if (case, role) != ("BraTS2021_00002", "T1"):
                path = folder / f"images{part}" / f"{case}_{int(channel):04d}.nii.gz"
                phantoms.save(path, images[Modality.parse(role)])
        if part == "Tr":
            phantoms.save(folder / "labelsTr" / f"{case}.nii.gz", np.array([0, 2, 1, 3], np.uint8)[labels])
    describe(folder)
    return folder


def test_channels_by_name_and_missing_files_as_missing_sequences(raw, phantoms):
    importer, explanation = detect_layout(raw)
    assert importer.name == "nnunet"
    assert "too" not in explanation
    cases = importer.find(raw)
    assert [case.id for case in cases] == ["BraTS2021_00000", "BraTS2021_00002", "later"]
    assert [case.present for case in cases] == [(True,) * 4, (True, False, True, True), (True,) * 4]
    assert [case.labels is None for case in cases] == [False, False, True]
    for seed, case in enumerate(cases):
        images, labels = phantoms.head(seed=seed)
        for modality, source in case.images.items():
            assert np.array_equal(read_volume(source)[0], images[modality])
        if case.labels:
            assert np.array_equal(read_labels(case.labels, importer.scheme(raw))[0], labels)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (OEDEMA_FIRST, "msd"),
        ({"background": 0, "NCR": 1, "ED": 2, "ET": 3}, "brats2023"),
        ({"background": 0, "NETC": 1, "SNFH": 2, "ET": 3, "RC": 4}, "brats2024"),
        ({"background": 0, "NCR/NET": 1, "ED": 2, "ET": 4}, "brats2018"),
        ({"background": 0, "whole tumor": [1, 2, 3], "tumor core": [2, 3], "enhancing tumor": [3]}, "msd"),
        ({"background": 0, "whole tumor": [1, 2, 3], "tumor core": [1, 3], "enhancing tumor": 3}, "brats2023"),
        (
            {
                "background": 0,
                "whole_tumor": [1, 2, 3],
                "tumor_core": [1, 3],
                "enhancing_tumor": 3,
                "resection cavity": 4,
            },
            "brats2024",
        ),
        ({"0": "background", "1": "edema", "2": "necrosis", "3": "enhancing"}, "msd"),
    ],
)
def test_label_orders_and_regions(raw, labels, expected):
    describe(raw, labels=labels)
    codes = IMPORTERS["nnunet"].codes(raw)
    assert codes.scheme == expected
    assert "dataset.json" in codes.why


@pytest.mark.parametrize(
    "labels",
    [
        {"background": 0, "tumor": 1},
        {"background": 0, "whole tumor": [1, 2, 3], "tumor core": [1, 2, 3], "enhancing tumor": 3},
        {"background": 0, "whole tumor": [1, 2, 3], "tumor core": [2, 3]},
        {"background": 0, "edema": 1, "necrosis": 2, "enhancing": 3, "ignore": 4},
        {"background": 0, "edema": "x"},
    ],
)
def test_labels_that_are_not_understood_are_refused_with_the_remedy(raw, labels):
    describe(raw, labels=labels)
    with pytest.raises(DataError, match=r"dataset\.json: .*--labels"):
        IMPORTERS["nnunet"].scheme(raw)


def test_the_first_version_of_nnunet(raw):
    """Its dataset.json says "modality", as the Decathlon's does, but a channel is a file."""
    listed = [{"image": "./imagesTr/BraTS2021_00000.nii.gz", "label": "./labelsTr/BraTS2021_00000.nii.gz"}]
    describe(raw, channel_names=None, file_ending=None, modality=CHANNELS, training=listed)
    importer, _ = detect_layout(raw)
    assert importer.name == "nnunet"
    assert len(importer.find(raw)) == 3


def test_a_list_of_paths(raw):
    """nnU-Net's newer files may list where each case's files are."""
    images = [f"./imagesTr/BraTS2021_00000_{channel:04d}.nii.gz" for channel in range(4)]
    describe(raw, dataset={"one": {"images": images, "label": "./labelsTr/BraTS2021_00000.nii.gz"}})
    (case,) = IMPORTERS["nnunet"].find(raw)
    assert (case.id, case.present) == ("one", (True,) * 4)
    assert case.images[Modality.FLAIR].path.name == "BraTS2021_00000_0003.nii.gz"
    # No file can have the second name.
    describe(raw, dataset={"one": {"images": ["lost.nii.gz", "x" * 300]}, "two": 3})
    with pytest.raises(DataError, match=r"lost\.nii\.gz: listed") as caught:
        IMPORTERS["nnunet"].find(raw)
    assert "case two" in str(caught.value) and "xxx: listed in dataset.json and not there" in str(caught.value)


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ({"channel_names": {"0": "T1"}}, "channel 1 has no name"),
        ({"channel_names": {"0": "zScore"}}, "zScore"),
        ({"channel_names": ["T1"]}, "channel_names"),
        ({"file_ending": ".png"}, r"\.png"),
    ],
)
def test_a_bad_description(raw, entries, expected):
    describe(raw, **entries)
    with pytest.raises(DataError, match=expected):
        IMPORTERS["nnunet"].find(raw)


def test_a_case_in_training_and_test_is_refused(raw):
    for path in (raw / "imagesTr").glob("BraTS2021_00000*"):
        (raw / "imagesTs" / path.name).write_bytes(path.read_bytes())
    with pytest.raises(DataError, match="BraTS2021_00000 is in imagesTr too"):
        IMPORTERS["nnunet"].find(raw)


@pytest.mark.parametrize("listed", [False, True])
def test_two_examinations_of_a_patient_are_known_by_their_names(tmp_path, listed):
    (tmp_path / "imagesTr").mkdir()
    names = ("BraTS-GLI-00005-000", "BraTS-GLI-00005-001")
    paths = {name: f"imagesTr/{name}_0000.nii.gz" for name in names}
    for path in paths.values():
        (tmp_path / path).write_bytes(b"")
    entries = {name: {"images": [path]} for name, path in paths.items()}
    describe(tmp_path, dataset=entries if listed else None)
    found = IMPORTERS["nnunet"].find(tmp_path)
    assert [(case.id, case.patient) for case in found] == [(name, "BraTS-GLI-00005") for name in names]
