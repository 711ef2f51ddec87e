import numpy as np
import pytest

from limbeck.anatomy import Modality
from limbeck.data.importers import IMPORTERS, detect_layout
from limbeck.errors import DataError

WORDS = ("FLAIR", "T1w", "ce-gadolinium_T1w", "T2w")
BIDS = IMPORTERS["bids"]


def touch(folder, *paths):
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()


def session(folder, prefix, words=WORDS):
    """Empty files of a session; `prefix` is such as sub-01 or sub-01_ses-a."""
    place = "/".join([*prefix.split("_"), "anat"])
    touch(folder, *(f"{place}/{prefix}_{word}.nii.gz" for word in words))


def test_a_subject_is_a_patient_and_a_session_a_case(tmp_path):
    session(tmp_path, "sub-01_ses-before")
    session(tmp_path, "sub-01_ses-after", ("FLAIR", "T1w"))
    session(tmp_path, "sub-02")
    touch(
        tmp_path, "dataset_description.json", "sub-02/func/sub-02_task-rest_bold.nii.gz", "sub-02/anat/sub-02_T1w.json"
    )
    importer, _ = detect_layout(tmp_path)
    assert importer.name == "bids"
    cases = importer.find(tmp_path)
    assert [(case.id, case.patient) for case in cases] == [
        ("sub-01_ses-after", "sub-01"),
        ("sub-01_ses-before", "sub-01"),
        ("sub-02", "sub-02"),
    ]
    assert [case.present for case in cases] == [(True, True, False, False), (True,) * 4, (True,) * 4]
    assert cases[2].images[Modality.T1CE].path.name == "sub-02_ce-gadolinium_T1w.nii.gz"
    assert cases[2].images[Modality.T1].path.name == "sub-02_T1w.nii.gz"


@pytest.mark.parametrize("agent", ["gadolinium", "gd", "GADOLINIUM", "Gadovist"])
def test_contrast_by_any_name(tmp_path, agent):
    session(tmp_path, "sub-01", (f"ce-{agent}_T1w", "T1w"))
    (case,) = BIDS.find(tmp_path)
    assert case.present == (False, True, True, False)


def test_what_lies_before_contrast_is_taken_for_t2_and_flair(tmp_path):
    session(tmp_path, "sub-01", ("FLAIR", "ce-gd_FLAIR", "ce-gd_T2w", "ce-none_T1w"))
    (case,) = BIDS.find(tmp_path)
    names = {modality.role: source.path.name for modality, source in case.images.items()}
    assert names == {
        "flair": "sub-01_FLAIR.nii.gz",
        "t1": "sub-01_ce-none_T1w.nii.gz",
        "t2": "sub-01_ce-gd_T2w.nii.gz",
    }


def test_the_last_of_several_runs(tmp_path):
    session(tmp_path, "sub-01", ("run-1_T1w", "run-2_T1w", "run-10_T1w"))
    (case,) = BIDS.find(tmp_path)
    assert case.images[Modality.T1].path.name == "sub-01_run-10_T1w.nii.gz"


@pytest.mark.parametrize(
    ("one", "other"),
    [("acq-ax_T1w", "acq-iso_T1w"), ("T1w", "acq-iso_T1w"), ("space-MNI_T1w", "space-orig_T1w")],
)
def test_two_files_that_might_be_meant_are_both_named(tmp_path, one, other):
    session(tmp_path, "sub-01", (one, other))
    with pytest.raises(DataError, match=r"t1 of sub-01 too: .*table") as caught:
        BIDS.find(tmp_path)
    assert all(f"sub-01_{word}.nii.gz" in str(caught.value) for word in (one, other))


@pytest.mark.parametrize(
    "place",
    [
        "derivatives/manual/sub-01/ses-a/anat/sub-01_ses-a_dseg.nii.gz",
        "derivatives/manual/sub-01/sub-01_ses-a_space-orig_label-tumor_mask.nii.gz",
        "derivatives/sub-01/anat/sub-01_ses-a_desc-tumour_dseg.nii.gz",
        "sub-01/ses-a/anat/sub-01_ses-a_dseg.nii.gz",
        # The subject has one session only, so it is clear which is meant.
        "derivatives/manual/sub-01/anat/sub-01_dseg.nii.gz",
    ],
)
def test_masks_among_the_derivatives_or_beside_the_images(tmp_path, place):
    session(tmp_path, "sub-01_ses-a")
    session(tmp_path, "sub-02")
    # None of these is the tumour's.
    touch(
        tmp_path,
        "derivatives/strip/sub-01/ses-a/anat/sub-01_ses-a_desc-brain_mask.nii.gz",
        "derivatives/strip/sub-01/ses-a/anat/sub-01_ses-a_T1w.nii.gz",
        "derivatives/manual/sub-03/anat/sub-03_dseg.nii.gz",
        place,
    )
    one, two = BIDS.find(tmp_path)
    assert one.labels.path == tmp_path / place
    assert one.present == (True,) * 4
    assert two.labels is None


def test_a_segmentation_of_the_tumour_goes_before_others(tmp_path):
    session(tmp_path, "sub-01")
    folder = "derivatives/all/sub-01/anat/sub-01_"
    touch(
        tmp_path,
        f"{folder}desc-tissue_dseg.nii.gz",
        f"{folder}desc-tumor_dseg.nii.gz",
        f"{folder}label-tumor_mask.nii.gz",
    )
    assert BIDS.find(tmp_path)[0].labels.path.name == "sub-01_desc-tumor_dseg.nii.gz"
    touch(tmp_path, f"{folder}acq-b_desc-tumor_dseg.nii.gz")
    with pytest.raises(DataError, match="the segmentation of sub-01 too") as caught:
        BIDS.find(tmp_path)
    assert "acq-b_desc-tumor" in str(caught.value)


def test_a_mask_that_may_be_of_several_sessions_is_refused(tmp_path):
    session(tmp_path, "sub-01_ses-a")
    session(tmp_path, "sub-01_ses-b")
    touch(tmp_path, "derivatives/x/sub-01/anat/sub-01_dseg.nii.gz")
    with pytest.raises(DataError, match="names no session, and sub-01 has 2"):
        BIDS.find(tmp_path)


@pytest.mark.parametrize(("base", "inner"), [("", "sub-01"), ("rawdata", ""), ("derivatives/cleaned", "")])
def test_from_any_level_of_its_folders(tmp_path, base, inner):
    """The root, one subject, raw data in a folder of their own, and derivatives that were asked for by name."""
    session(tmp_path / base, "sub-01")
    for folder in {tmp_path / base, tmp_path / base / "sub-01", *([tmp_path] if base == "rawdata" else [])}:
        assert BIDS.detect(folder)
        (case,) = BIDS.find(folder)
        assert case.present == (True,) * 4
    assert BIDS.detect(tmp_path) == (not base.startswith("derivatives"))


def labelled(folder, phantoms, codes, word="dseg"):
    session(folder, "sub-01")
    labels = np.array([0, *codes], np.uint8)[phantoms.head()[1]]
    phantoms.save(folder / "derivatives" / "manual" / "sub-01" / "anat" / f"sub-01_{word}.nii.gz", labels)


@pytest.mark.parametrize(
    ("codes", "expected"),
    [((1, 2, 4), "brats2018"), ((1, 2, 3), "brats2023"), ((2, 1, 3), "msd"), ((4, 1, 3), "brats2024")],
)
def test_codes_by_a_survey_where_names_are_silent(tmp_path, phantoms, codes, expected):
    labelled(tmp_path, phantoms, codes)
    assert BIDS.codes(tmp_path).scheme == expected


def test_codes_by_the_names_in_a_dseg_tsv(tmp_path, phantoms):
    labelled(tmp_path, phantoms, (1, 2, 3))
    table = tmp_path / "derivatives" / "manual" / "desc-tumor_dseg.tsv"
    table.write_text("index\tname\tabbreviation\n1\tEdema\tED\n2\tNecrotic core\tNCR\n3\tEnhancing tumour\tET\n")
    codes = BIDS.codes(tmp_path)
    assert codes.scheme == "msd"
    assert "desc-tumor_dseg.tsv" in codes.why
    # Of another tissue, so it says nothing; and one that contradicts leaves it to the survey.
    (tmp_path / "dseg.tsv").write_text("index\tname\n1\tGrey matter\n2\tWhite matter\n")
    assert BIDS.codes(tmp_path).scheme == "msd"
    (tmp_path / "dseg.tsv").write_text("index\tname\n1\tNCR\n2\tED\n3\tET\n")
    codes = BIDS.codes(tmp_path)
    assert codes.scheme == "brats2023"
    assert "says msd" in codes.why


@pytest.mark.parametrize("word", ["mask", "label-tumor_mask", "dseg"])
def test_a_lone_binary_mask_is_refused_with_the_remedy(tmp_path, phantoms, word):
    labelled(tmp_path, phantoms, (1, 1, 1), word)
    with pytest.raises(DataError, match=r"sub-01_.*hold 1 and nothing else: expected a code for each tissue"):
        BIDS.codes(tmp_path)


TISSUES = "index\tname\n0\tBackground\n1\tCSF\n2\tGray Matter\n3\tWhite Matter\n"


@pytest.mark.parametrize(
    "table", ["fmriprep/sub-01/anat/sub-01_dseg.tsv", "fmriprep/sub-01/sub-01_dseg.tsv", "fmriprep/dseg.tsv"]
)
def test_a_map_of_the_brains_tissues_is_no_segmentation(tmp_path, table):
    """As fMRIPrep's, which its own table, or one above it, describes."""
    session(tmp_path, "sub-01")
    session(tmp_path, "sub-02")
    masks = [f"derivatives/fmriprep/sub-0{number}/anat/sub-0{number}_dseg.nii.gz" for number in (1, 2)]
    touch(tmp_path, *masks)
    (tmp_path / "derivatives" / table).write_text(TISSUES)
    above = table.endswith("/dseg.tsv")
    importer, explanation = detect_layout(tmp_path)
    assert [case.labels is None for case in importer.find(tmp_path)] == [True, above]
    told = "left aside, as no segmentation of a tumour, sub-01_dseg.nii.gz (CSF in its dseg.tsv)"
    assert explanation.endswith(told + (" and 1 more" if above else ""))


@pytest.mark.parametrize(
    ("mask", "table"),
    [
        # Said to be of a tumour; of another mask; of the data set itself; of a tumour in other words.
        ("manual/sub-01/anat/sub-01_desc-tumor_dseg.nii.gz", ("derivatives/manual/dseg.tsv", TISSUES)),
        ("manual/sub-01/anat/sub-01_dseg.nii.gz", ("derivatives/manual/desc-aseg_dseg.tsv", TISSUES)),
        ("manual/sub-01/anat/sub-01_dseg.nii.gz", ("derivatives/fmriprep/dseg.tsv", TISSUES)),
        ("manual/sub-01/anat/sub-01_dseg.nii.gz", ("dseg.tsv", TISSUES)),
        ("manual/sub-01/anat/sub-01_dseg.nii.gz", ("derivatives/manual/dseg.tsv", "index\tname\n1\tTumour bed\n")),
        ("manual/sub-01/anat/sub-01_dseg.nii.gz", ("derivatives/manual/dseg.tsv", "no\ttable\n1\t2\n")),
    ],
)
def test_a_segmentation_that_no_table_of_its_own_denies_is_taken(tmp_path, mask, table):
    session(tmp_path, "sub-01")
    touch(tmp_path, f"derivatives/{mask}", table[0])
    (tmp_path / table[0]).write_text(table[1])
    assert BIDS.find(tmp_path)[0].labels.path == tmp_path / "derivatives" / mask


def test_of_two_tables_the_more_telling_one_counts(tmp_path):
    session(tmp_path, "sub-01")
    folder = tmp_path / "derivatives" / "a"
    touch(tmp_path, "derivatives/a/sub-01/anat/sub-01_desc-aseg_dseg.nii.gz")
    (folder / "desc-aseg_dseg.tsv").write_text(TISSUES)
    (folder / "dseg.tsv").write_text("index\tname\n1\tEdema\n")
    assert BIDS.find(tmp_path)[0].labels is None
