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


def touched(folder, *paths):
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()
    return {
        case.id: {modality.role: source.path.name.split(".")[0] for modality, source in case.images.items()}
        for case in IMPORTERS["brats"].find(folder)
    }


def test_everyday_names_of_a_sequence_give_one_case(tmp_path):
    names = ("P001_T1", "P001_ce_T1", "P001_T2", "P001_T2_FLAIR", "P001_T2_FLAIR_seg")
    found = touched(tmp_path, *(f"{name}.nii.gz" for name in names))
    assert found == {"P001": {"flair": "P001_T2_FLAIR", "t1": "P001_T1", "t1ce": "P001_ce_T1", "t2": "P001_T2"}}
    importer, explanation = detect_layout(tmp_path)
    told = "in two words, P001_T2_FLAIR.nii.gz is flair of P001, P001_ce_T1.nii.gz is t1ce of P001"
    assert explanation.endswith(told)
    (case,) = importer.find(tmp_path)
    assert case.labels.path.name == "P001_T2_FLAIR_seg.nii.gz"


@pytest.mark.parametrize(
    ("name", "role"),
    [
        *(
            (name, "t1ce")
            for name in ("ce_T1", "Gd_T1", "post_T1", "contrast-T1w", "post_contrast_T1", "postcontrast_T1")
        ),
        *(
            (name, "t1ce")
            for name in ("T1_ce", "T1-Gd", "T1w_post", "T1_contrast", "T1_post_contrast", "T1_gadolinium")
        ),
        *((name, "t1") for name in ("pre_T1", "T1_pre", "pre_contrast_T1w")),
        *((name, "flair") for name in ("T2_FLAIR", "t2w-flair")),
    ],
)
def test_two_words_for_one_sequence(tmp_path, name, role):
    assert touched(tmp_path, f"P001_{name}.nii.gz") == {"P001": {role: f"P001_{name}"}}


@pytest.mark.parametrize(
    ("case", "roles"),
    [
        # After an operation, by a hospital's or a person's letters, and at the second of two times.
        ("P001_post", ("flair", "t1", "t1ce", "t2")),
        ("P001_pre", ("t1", "t2")),
        ("P001_GD", ("t1", "t1ce")),
        ("P001_GD", ("flair", "t2")),
        ("P001_FL", ("t1", "flair")),
        ("P001_T2", ("flair", "t1", "t1ce", "t2")),
        ("P001_post", ("t1ce",)),
    ],
)
def test_a_word_that_several_sequences_share_is_the_cases(tmp_path, case, roles):
    found = touched(tmp_path, "P001_t1ce.nii.gz", *(f"{case}_{role}.nii.gz" for role in roles), f"{case}_seg.nii.gz")
    assert found == {"P001": {"t1ce": "P001_t1ce"}, case: {role: f"{case}_{role}" for role in roles}}
    assert [case.labels is None for case in IMPORTERS["brats"].find(tmp_path)] == [True, False]


@pytest.mark.parametrize(
    "names",
    [
        ("P001_ce_T1", "P001_ce_T2"),
        ("P001_post_T1", "P001_post_flair"),
        ("P001_T1_FLAIR", "P001_T1"),
        ("P001_FLAIR_T2",),
        ("P001_ce_FLAIR", "P001_T1"),
        ("ce_T1", "P001_T1"),
    ],
)
def test_names_that_leave_the_sequence_open_are_refused_with_the_remedy(tmp_path, names):
    with pytest.raises(DataError, match=r"leaves open which sequence .*such as P001_t1ce, or list") as caught:
        touched(tmp_path, *(f"{name}.nii.gz" for name in names))
    assert str(caught.value).startswith(f"{tmp_path / names[0]}.nii.gz: ") and "\n" not in str(caught.value)


def test_contrast_by_two_names_is_claimed_twice(tmp_path):
    with pytest.raises(DataError, match="is t1ce of case P001 too"):
        touched(tmp_path, "P001_post_T1.nii.gz", "P001_t1ce.nii.gz")


@pytest.mark.parametrize(
    ("names", "codes", "expected"),
    [
        # No year's names, so the label that lies around the rest decides.
        (("t1", "t1gd"), (2, 1), "msd"),
        (("t1", "t1gd"), (1, 2), "brats2018"),
        (("t1", "t2w"), (2, 1), "msd"),
        (("ce_T1", "T2_FLAIR"), (2, 1), "msd"),
        (("t1", "flair"), (2, 1), "brats2018"),
        (("t1n", "t2w"), (2, 1), "brats2023"),
    ],
)
def test_names_that_tell_nothing_leave_the_codes_to_the_segmentations(tmp_path, phantoms, names, codes, expected):
    for number in range(4):
        images, labels = phantoms.head(seed=number)
        for name, image in zip(names, images, strict=False):
            phantoms.save(tmp_path / f"Q{number}_{name}.nii.gz", image)
        phantoms.save(tmp_path / f"Q{number}_seg.nii.gz", np.array([0, *codes, codes[0]], np.uint8)[labels])
    assert IMPORTERS["brats"].codes(tmp_path).scheme == expected


@pytest.mark.parametrize("labels", ["labels", "annotations"])
def test_segmentations_in_a_folder_of_their_own(tmp_path, labels):
    """Before and after the images, in the order of names."""
    for name in ("P1", "P2"):
        touched(tmp_path, f"images/{name}_flair.nii.gz", f"images/{name}_t1.nii.gz", f"{labels}/{name}_seg.nii.gz")
    cases = IMPORTERS["brats"].find(tmp_path)
    assert [case.labels.path for case in cases] == [tmp_path / labels / f"{case.id}_seg.nii.gz" for case in cases]
    (tmp_path / "images" / "P1_seg.nii.gz").touch()
    with pytest.raises(DataError, match=rf"{labels}.P1_seg.*is segmentation of case P1 too"):
        IMPORTERS["brats"].find(tmp_path)


def test_a_case_does_not_get_anothers_segmentation(tmp_path):
    touched(tmp_path, "P1_flair.nii.gz", "P1_t1.nii.gz", "P2_seg.nii.gz")
    importer, explanation = detect_layout(tmp_path)
    (case,) = importer.find(tmp_path)
    assert (case.id, case.labels) == ("P1", None)
    assert "segmentations of no case are left aside (1, such as P2_seg.nii.gz)" in explanation
