import json

import numpy as np
import pytest

from limbeck.anatomy import Modality
from limbeck.data.importers import IMPORTERS, detect_layout
from limbeck.data.volume import read_labels, read_volume
from limbeck.errors import DataError


def change(folder, **entries):
    path = folder / "dataset.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


def test_the_decathlon_is_read_by_name_never_by_position(decathlon, phantoms):
    importer, _ = detect_layout(decathlon)
    assert (importer.name, importer.scheme(decathlon)) == ("msd", "msd")
    (case,) = importer.find(decathlon)
    images, labels = phantoms.head(seed=7)
    for modality in Modality:
        assert np.array_equal(read_volume(case.images[modality])[0], images[modality])
    assert np.array_equal(read_labels(case.labels, "msd")[0], labels)


def test_label_meanings_come_from_dataset_json(decathlon):
    change(decathlon, labels={"0": "background", "1": "necrotic core", "2": "oedema", "3": "enhancing tumour"})
    assert IMPORTERS["msd"].scheme(decathlon) == "brats2023"
    change(decathlon, labels={"0": "background", "1": "liver"})
    with pytest.raises(DataError, match="liver"):
        IMPORTERS["msd"].scheme(decathlon)


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ({"modality": {"0": "CT"}}, "channel 0"),
        ({"modality": {"0": "T1w", "1": "T1n"}}, "are both"),
        ({"modality": {"first": "T1w"}}, "'first' is no number"),
        ({"modality": None}, '"modality"'),
        ({"training": [{"image": "./imagesTr/lost.nii.gz", "label": "./labelsTr/lost.nii.gz"}]}, "not there"),
        ({"training": {"image": 1}}, "no list"),
        ({"training": [{"label": "x"}]}, "expected paths"),
        ({"test": [3]}, "expected paths"),
    ],
)
def test_a_bad_dataset_json(decathlon, entries, expected):
    change(decathlon, **entries)
    with pytest.raises(DataError, match=expected) as caught:
        IMPORTERS["msd"].find(decathlon)
    assert "dataset.json" in str(caught.value)


@pytest.mark.parametrize("text", ["{", "[]", '"modality"', "[" * 100_000])
def test_a_dataset_json_that_is_none(decathlon, text):
    (decathlon / "dataset.json").write_text(text)
    with pytest.raises(DataError, match=r"dataset\.json: "):
        IMPORTERS["msd"].find(decathlon)


@pytest.mark.parametrize("labels", [None, [], ["background"], {}, {"0": "background"}, {"x": "edema"}])
def test_labels_that_tell_nothing_are_refused_with_the_remedy(decathlon, labels):
    change(decathlon, labels=labels)
    with pytest.raises(DataError, match="--labels"):
        IMPORTERS["msd"].scheme(decathlon)


def test_a_case_that_is_listed_twice_is_refused_and_keeps_its_labels(decathlon):
    (case,) = IMPORTERS["msd"].find(decathlon)
    image = next(iter(case.images.values())).path.relative_to(decathlon)
    change(decathlon, test=[f"./{image}"])
    with pytest.raises(DataError, match=rf"case {case.id} is listed twice, as \./{image} the second time: keep one"):
        IMPORTERS["msd"].find(decathlon)


def test_a_listed_name_that_no_file_can_have_is_not_there(decathlon):
    change(decathlon, test=["x" * 300 + ".nii.gz"])
    with pytest.raises(DataError, match=r"xxx\.nii\.gz: listed in dataset\.json and not there"):
        IMPORTERS["msd"].find(decathlon)


def test_two_examinations_of_a_patient_are_known_by_their_names(decathlon):
    names = [f"imagesTr/BraTS-GLI-00005-{number}.nii.gz" for number in ("000", "001")]
    for name in names:
        (decathlon / name).write_bytes(b"")
    change(decathlon, training=[], test=names)
    assert [case.patient for case in IMPORTERS["msd"].find(decathlon)] == ["BraTS-GLI-00005"] * 2
