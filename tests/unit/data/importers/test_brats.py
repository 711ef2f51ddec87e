import numpy as np
import pytest

from limbeck.anatomy import Modality
from limbeck.data.importers import IMPORTERS, detect_layout
from limbeck.data.volume import read_volume
from limbeck.errors import DataError

EARLIER = ("flair", "t1", "t1ce", "t2")
LATER = ("t2f", "t1n", "t1c", "t2w")


def write(phantoms, folder, case, names, codes, separator, seed=0):
    """A case of a year: the images, and labels whose codes 1, 2, 3 become `codes`."""
    images, labels = phantoms.head(seed=seed)
    for name, image in zip(names, images, strict=True):
        phantoms.save(folder / case / f"{case}{separator}{name}.nii.gz", image)
    phantoms.save(folder / case / f"{case}{separator}seg.nii.gz", np.array([0, *codes], np.uint8)[labels])


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


@pytest.mark.parametrize(
    ("folders", "case", "patient", "names", "codes", "separator", "scheme"),
    [
        ("HGG", "Brats17_CBICA_AAB_1", "Brats17_CBICA_AAB", EARLIER, (1, 2, 4), "_", "brats2018"),
        ("LGG", "Brats18_2013_2_1", "Brats18_2013_2", EARLIER, (1, 2, 4), "_", "brats2018"),
        ("HGG", "BraTS19_TCIA_101_1", "BraTS19_TCIA_101", EARLIER, (1, 2, 4), "_", "brats2018"),
        ("MICCAI_BraTS2020", "BraTS20_Training_001", "BraTS20_Training_001", EARLIER, (1, 2, 4), "_", "brats2018"),
        ("", "BraTS2021_00410", "BraTS2021_00410", EARLIER, (1, 2, 4), "_", "brats2018"),
        ("Training", "BraTS-GLI-00005-001", "BraTS-GLI-00005", LATER, (1, 2, 3), "-", "brats2023"),
        ("Training", "BraTS-GLI-02405-100", "BraTS-GLI-02405", LATER, (4, 2, 3), "-", "brats2024"),
    ],
)
def test_each_year(tmp_path, phantoms, folders, case, patient, names, codes, separator, scheme):
    write(phantoms, tmp_path / folders, case, names, codes, separator)
    importer, _ = detect_layout(tmp_path)
    (found,) = importer.find(tmp_path)
    assert (importer.name, found.id, found.patient, found.present) == ("brats", case, patient, (True,) * 4)
    assert importer.scheme(tmp_path) == scheme
    images, _ = phantoms.head()
    for modality in Modality:
        assert np.array_equal(read_volume(found.images[modality])[0], images[modality])


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


@pytest.mark.parametrize("suffix", [".nii", ".mha", ".nrrd"])
def test_other_formats_go_by_the_same_names(tmp_path, suffix):
    for role in ("t1ce", "flair", "seg"):
        (tmp_path / f"case_{role}{suffix}").touch()
    (case,) = detect_layout(tmp_path)[0].find(tmp_path)
    assert case.present == (True, False, True, False)
    assert case.labels.path.name == f"case_seg{suffix}"


def test_name_mapping_joins_the_cases_of_a_patient(tmp_path):
    """Two examinations in 2020 whose patient had one name in 2019, and two who share a name at TCIA."""
    for number in range(1, 7):
        (tmp_path / f"BraTS20_Training_{number:03d}_t1.nii.gz").touch()
    rows = [
        "Grade,BraTS_2017_subject_ID,BraTS_2018_subject_ID,TCGA_TCIA_subject_ID,BraTS_2019_subject_ID,BraTS_2020_subject_ID",
        "HGG,NA,NA,NA,BraTS19_CBICA_AAB_1,BraTS20_Training_001",
        "HGG,Brats17_CBICA_AAB_2,NA,NA,NA,BraTS20_Training_002",
        "LGG,NA,NA,TCGA-02-0006,BraTS19_TCIA08_1_1,BraTS20_Training_003",
        "LGG,NA,NA,TCGA-02-0006,NA,BraTS20_Training_004",
        "LGG,NA,NA,NA,BraTS19_CBICA_XYZ_1,BraTS20_Training_005",
    ]
    (tmp_path / "name_mapping.csv").write_text("\n".join(rows))
    importer, explanation = detect_layout(tmp_path)
    assert "joined by name_mapping.csv" in explanation
    patients = [case.patient[-3:] for case in importer.find(tmp_path)]
    assert patients == ["001", "001", "003", "003", "005", "006"]
    (tmp_path / "name_mapping.csv").unlink()
    assert [case.patient[-3:] for case in importer.find(tmp_path)] == ["001", "002", "003", "004", "005", "006"]


def test_bids_is_not_taken_for_brats(tmp_path, phantoms):
    phantoms.save(tmp_path / "sub-01" / "anat" / "sub-01_T1w.nii.gz", phantoms.head()[0][0])
    assert not IMPORTERS["brats"].detect(tmp_path)
    assert detect_layout(tmp_path)[0].name == "bids"
