import codecs

import numpy as np
import pytest

from limbeck.anatomy import Modality
from limbeck.data.importers import IMPORTERS, detect_layout
from limbeck.data.volume import read_volume
from limbeck.errors import DataError

TABLE = IMPORTERS["table"]


def write(folder, *lines, name="cases.csv"):
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_row_is_a_case_and_an_empty_cell_a_missing_sequence(tmp_path, phantoms):
    images, _ = phantoms.head()
    phantoms.save(tmp_path / "scans" / "one.nii.gz", images[Modality.T1CE])
    far = phantoms.save(tmp_path / "elsewhere" / "two.nii.gz", images[Modality.FLAIR])
    (tmp_path / "tables").mkdir()
    path = write(
        tmp_path / "tables",
        "case,patient,flair,t1,t1ce,t2,seg",
        "b,P1,,,../scans/one.nii.gz,,",
        f"a,P1,{far},,../scans/one.nii.gz,n/a,../scans/seg.nii.gz",
        ",,,,,,",
        "c,,x.nii.gz,,,,",
    )
    importer, explanation = detect_layout(path)
    assert importer.name == "table"
    assert "columns read: case, patient, flair, t1, t1ce, t2, seg" in explanation
    one, two, three = importer.find(path)
    assert [(case.id, case.patient) for case in (one, two, three)] == [("a", "P1"), ("b", "P1"), ("c", "c")]
    assert (one.present, two.present) == ((True, False, True, False), (False, False, True, False))
    assert np.array_equal(read_volume(one.images[Modality.FLAIR])[0], images[Modality.FLAIR])
    assert np.array_equal(read_volume(two.images[Modality.T1CE])[0], images[Modality.T1CE])
    assert one.labels.path == tmp_path / "tables" / "../scans/seg.nii.gz"
    assert two.labels is None


@pytest.mark.parametrize(
    ("header", "case", "patient"),
    [
        ("Case ID;T1Gd;Subject", "1", "3"),
        ("case_id;t1c;participant_id", "1", "3"),
        ("Name;T1-post;Patient-ID", "1", "3"),
        ("subject;T1ce;age", "1", "1"),
        ("id;t1c;labels", "1", "1"),
    ],
)
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("start", [b"", codecs.BOM_UTF8])
def test_aliases_delimiters_and_byte_order_marks(tmp_path, header, case, patient, delimiter, start):
    path = tmp_path / "cases.csv"
    text = f"{header}\r\n1;2;3\r\n".replace(";", delimiter)
    path.write_bytes(start + text.encode())
    (found,) = TABLE.find(path)
    assert (found.id, found.patient) == (case, patient)
    assert found.images[Modality.T1CE].path == tmp_path / "2"
    assert (found.labels is not None) == ("labels" in header)


def test_quoted_cells_and_short_rows(tmp_path):
    path = write(tmp_path, "case,t1,t2", '"a, b","my scans/a.nii.gz"')
    (case,) = TABLE.find(path)
    assert case.id == "a, b"
    assert case.images[Modality.T1].path == tmp_path / "my scans" / "a.nii.gz"
    assert Modality.T2 not in case.images


def test_unknown_columns_are_named(tmp_path):
    path = write(tmp_path, "case,t1,age,swi,", "a,x,7,y,")
    _, explanation = detect_layout(path)
    assert "; not age, swi, one without a name" in explanation


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["case,t1", "a,x", "a,y"], "line 3 is case a again"),
        (["case,t1", ",x"], "line 2 has no case"),
        (["case,t1", "a,x,y"], "line 2 has 3 cells: expected 2"),
        (["case,t1", "a,"], "case a, names no scan"),
        (["case,t1,T1w", "a,x,y"], "columns t1 and T1w are both t1"),
        (["case,id,t1", "a,a,x"], "columns case and id say the same"),
        (["case,age", "a,7"], "columns case, age: expected case and at least one of flair"),
        (["t1,t2", "x,y"], "expected case"),
        (["case,t1", '"a,x'], "no table"),
        ([""], "empty"),
    ],
)
def test_a_bad_table(tmp_path, lines, expected):
    path = write(tmp_path, *lines)
    with pytest.raises(DataError, match=expected) as caught:
        TABLE.find(path)
    assert str(path) in str(caught.value)


def test_bytes_that_are_no_text_and_a_table_that_is_not_there(tmp_path):
    path = tmp_path / "cases.csv"
    path.write_bytes(b"case,t1\n\xff\xfe,x\n")
    with pytest.raises(DataError, match="UTF-8"):
        TABLE.find(path)
    with pytest.raises(DataError, match="no such folder"):
        detect_layout(tmp_path / "none.csv")
    (tmp_path / "scan.nii.gz").touch()
    for layout in ("auto", "table"):
        with pytest.raises(DataError, match="is a file: expected the folder of a data set, or the CSV"):
            detect_layout(tmp_path / "scan.nii.gz", layout)
    with pytest.raises(DataError, match="is a file"):
        detect_layout(path, "brats")


def test_a_folder_with_one_table_in_it(tmp_path):
    write(tmp_path, "case,t1", "a,x.nii.gz")
    write(tmp_path, "case,age", "a,7", name="clinic.csv")
    importer, _ = detect_layout(tmp_path)
    assert (importer.name, len(importer.find(tmp_path))) == ("table", 1)
    write(tmp_path, "case,t1", "a,x.nii.gz", name="other.csv")
    with pytest.raises(DataError, match="no known layout"):
        detect_layout(tmp_path)
    with pytest.raises(DataError, match=r"several tables of cases in it \(cases.csv, other.csv\): name one"):
        detect_layout(tmp_path, "table")


def test_a_binary_mask_cannot_give_labels(tmp_path, phantoms):
    phantoms.save(tmp_path / "mask.nii.gz", (phantoms.head()[1] > 0).astype(np.uint8))
    path = write(tmp_path, "case,t1,mask", "a,t1.nii.gz,mask.nii.gz")
    with pytest.raises(DataError, match="hold 1 and nothing else"):
        TABLE.codes(path)


def test_without_a_patient_the_name_of_the_case_says_who_was_examined(tmp_path):
    rows = ("BraTS-GLI-00005-000,,x.nii.gz", "BraTS-GLI-00005-001,,x.nii.gz", "BraTS-GLI-00005-002,P1,x.nii.gz")
    found = TABLE.find(write(tmp_path, "case,patient,flair", *rows))
    assert [case.patient for case in found] == ["BraTS-GLI-00005", "BraTS-GLI-00005", "P1"]
