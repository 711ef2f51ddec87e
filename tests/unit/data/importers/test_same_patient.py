import pytest

from limbeck.anatomy import Modality
from limbeck.data.case import Case, Source
from limbeck.data.importers.patients import joined, patient
from limbeck.errors import DataError


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


def case_of(path, name):
    return Case(name, patient(name), {Modality.T1: Source(path / f"{name}_t1.nii.gz")})


def test_one_patient_in_two_years_is_one(tmp_path):
    names = ("Brats17_CBICA_AAB_1", "BraTS19_CBICA_AAB_1", "BraTS19_CBICA_AAC_1")
    found = joined([case_of(tmp_path, name) for name in names], [])
    assert [case.patient for case in found] == ["BraTS19_CBICA_AAB", "BraTS19_CBICA_AAB", "BraTS19_CBICA_AAC"]


def test_names_that_differ_in_capitals_stay_two_patients(tmp_path):
    found = joined([case_of(tmp_path, name) for name in ("p1", "P1")], [])
    assert [case.patient for case in found] == ["p1", "P1"]


def test_rows_join_in_a_chain_and_in_any_order(tmp_path):
    """Row 3 joins what rows 1 and 2 held apart."""
    table = tmp_path / "name_mapping.csv"
    table.write_text(
        "\ufeffA_subject_ID,B_subject_ID\nBraTS20_Training_001,x\nBraTS20_Training_002,y\ny,x\n", encoding="utf-8"
    )
    names = ("BraTS20_Training_001", "BraTS20_Training_002", "BraTS20_Training_003")
    found = joined([case_of(tmp_path, name) for name in names], [table])
    assert [case.patient for case in found] == ["BraTS20_Training_001"] * 2 + ["BraTS20_Training_003"]


def test_a_mapping_that_cannot_be_read_is_said(tmp_path):
    with pytest.raises(DataError, match="name_mapping"):
        joined([], [tmp_path / "name_mapping.csv"])
