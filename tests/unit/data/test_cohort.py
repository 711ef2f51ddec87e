import json
import os
import shutil
import time
from concurrent.futures import Future

import nibabel as nib
import numpy as np
import pytest
import torch
from importing import run, tree
from series import write_series

from limbeck.anatomy import Modality
from limbeck.cli import main
from limbeck.data.case import Case, Source
from limbeck.data.cohort import Cohort, import_cohort
from limbeck.data.cohort_case import content_hash, fingerprint
from limbeck.data.importers import IMPORTERS
from limbeck.data.preprocess import prepare
from limbeck.data.volume import read_labels
from limbeck.errors import DataError, UsageError
from limbeck.normalisation import Normalisation


@pytest.mark.parametrize("spacing", [1.0, 2.0])
def test_a_cohort_holds_what_the_files_hold(brats, tmp_path, spacing):
    steps = []
    cohort = run(
        brats, tmp_path / "cohort", spacing_mm=spacing, progress=lambda done, total: steps.append((done, total))
    )
    assert steps == [(number, 5) for number in range(1, 6)]
    cohort.verify()
    assert (cohort.layout, cohort.scheme, cohort.spacing_mm, len(cohort.cases)) == ("brats", "brats2018", spacing, 5)
    assert sorted(path.name for path in (tmp_path / "cohort").iterdir()) == ["cases", "cohort.json", "import.lock"]
    for found in IMPORTERS["brats"].find(brats):
        case = cohort.case(found.id)
        assert (case.patient, case.present) == (found.patient, (True,) * 4)
        prepared = prepare(found.images, spacing)
        for modality in Modality:
            stored = case.images(modality)
            assert isinstance(stored, np.memmap)
            assert stored.dtype == np.float16
            assert stored.shape == case.shape == case.crop.shape
            whole = case.restore(torch.from_numpy(np.array(stored))[None])[0].numpy()
            assert np.array_equal(whole, prepared.images[modality])
        labels, grid = read_labels(found.labels, "brats2018")
        assert np.array_equal(case.reference()[0], labels)
        assert case.reference()[1].difference(grid) is None
        whole = case.restore(torch.from_numpy(np.array(case.labels()))[None])[0].numpy()
        assert np.array_equal(whole, prepared.geometry.labels_to_model(labels))
        assert np.isclose(case.label_ml["enhancing"], (labels == 3).sum() / 1000)


def test_foreground_points_at_its_labels(brats, tmp_path):
    for case in run(brats, tmp_path / "cohort").cases:
        foreground = case.foreground()
        assert foreground.dtype == np.int16
        labels = case.labels()
        assert np.array_equal(labels[tuple(foreground[:, 1:].T)], foreground[:, 0])
        counts = np.bincount(foreground[:, 0], minlength=4)
        assert counts[0] == 0
        assert np.array_equal(counts[1:], np.minimum(2000, np.bincount(labels.ravel(), minlength=4)[1:]))


def test_foreground_is_a_fixed_sample_where_there_is_much(tmp_path, phantoms):
    images, labels = phantoms.head()
    labels[images[0] != 0] = 2
    phantoms.save(tmp_path / "data" / "a" / "a_t1.nii.gz", images[1])
    phantoms.save(tmp_path / "data" / "a" / "a_seg.nii.gz", labels)
    cohorts = [run(tmp_path / "data", tmp_path / name, scheme="brats2018") for name in ("one", "two")]
    samples = [cohort.cases[0].foreground() for cohort in cohorts]
    assert len(samples[0]) == 2000
    assert len(np.unique(samples[0], axis=0)) == 2000
    assert np.array_equal(*samples)


def test_the_hash_is_of_the_content_not_of_the_place(brats, tmp_path):
    first = run(brats, tmp_path / "one")
    shutil.copytree(brats, tmp_path / "copy")
    assert run(tmp_path / "copy", tmp_path / "two", workers=2).hash == first.hash
    assert run(brats, tmp_path / "three", spacing_mm=2.0).hash != first.hash
    assert Cohort.open(tmp_path / "one").hash == first.hash


def test_the_normalisation_is_chosen_and_recorded(brats, tmp_path):
    words = ["import", str(brats), "--workers", "1", "--out"]
    assert main([*words, str(tmp_path / "usual")]) == 0
    assert main([*words, str(tmp_path / "raw"), "--normalisation", "raw"]) == 0
    usual, raw = (Cohort.open(tmp_path / name) for name in ("usual", "raw"))
    assert (usual.normalisation, raw.normalisation) == (Normalisation.Z_SCORE, Normalisation.RAW)
    assert raw.hash != usual.hash
    raw.verify()
    found = IMPORTERS["brats"].find(brats)[0]
    case = raw.case(found.id)
    assert case.normalisation is Normalisation.RAW
    whole = case.restore(torch.from_numpy(np.array(case.images(Modality.T2)))[None])[0].numpy()
    assert np.array_equal(whole, prepare(found.images, 1.0, Normalisation.RAW).images[Modality.T2])
    assert main([*words, str(tmp_path / "other"), "--normalisation", "none"]) == 2


def test_a_cohort_from_before_the_choice_is_z_scored_and_keeps_its_hash(brats, tmp_path):
    cohort = run(brats, tmp_path / "cohort")
    for path in [tmp_path / "cohort" / "cohort.json", *(case.folder / "case.json" for case in cohort.cases)]:
        content = json.loads(path.read_text())
        assert content.pop("normalisation") == "z-score"
        path.write_text(json.dumps(content))
    old = Cohort.open(tmp_path / "cohort")
    old.verify()
    assert old.normalisation is old.cases[0].normalisation is Normalisation.Z_SCORE
    before = tree(tmp_path / "cohort" / "cases")
    assert run(brats, tmp_path / "cohort").hash == cohort.hash
    assert tree(tmp_path / "cohort" / "cases") == before


def test_the_hash_of_z_scored_cases_is_that_from_before_the_choice():
    record = {
        **{"id": "a", "patient": "p", "present": [True, False, False, True], "shape": [4, 5, 6]},
        **{"crop": [[0, 0, 0], [4, 5, 6]], "geometry": {}, "spacing_mm": 1.0, "files": {"t2.npy": "0"}},
    }
    # Computed by the version that knew z-scores alone.
    before = "60ebc1a7a78a264605660c58bcbc9b6da2b929b16ad7d3ad413920fda216347a"
    assert content_hash({**record, "normalisation": "z-score"}) == before
    assert content_hash({**record, "normalisation": "raw"}) != before


def test_a_case_left_by_an_import_of_other_intensities_is_made_again(brats, tmp_path):
    run(brats, tmp_path / "cohort")
    (tmp_path / "cohort" / "cohort.json").unlink()
    again = run(brats, tmp_path / "cohort", normalisation=Normalisation.RAW)
    assert again.hash == run(brats, tmp_path / "fresh", normalisation=Normalisation.RAW).hash


def test_decathlon_and_brats_agree(decathlon, tmp_path, phantoms):
    """The same patient in two layouts, mirrored in storage and not in life, is the same in model space."""
    images, labels = phantoms.head(seed=7)
    mirrored = tmp_path / "BraTS" / "p"
    affine = phantoms.lps.copy()
    affine[:2, 3] = np.array(labels.shape[:2]) - 1
    for role, image in zip(phantoms.roles, images, strict=True):
        phantoms.save(mirrored / f"p_{role}.nii.gz", image[::-1, ::-1], affine)
    phantoms.save(mirrored / "p_seg.nii.gz", np.array([0, 1, 2, 4], np.uint8)[labels][::-1, ::-1], affine)
    one = run(tmp_path / "BraTS", tmp_path / "one").cases[0]
    two = run(decathlon, tmp_path / "two").cases[0]
    for modality in Modality:
        assert np.array_equal(one.images(modality), two.images(modality))
    assert np.array_equal(one.labels(), two.labels())


def test_partial_and_unlabelled_cases(tmp_path, phantoms):
    phantoms.brats_case(tmp_path / "data", "some", roles=("t1ce", "flair"), segmented=False)
    (case,) = run(tmp_path / "data", tmp_path / "cohort").cases
    assert case.present == (True, False, True, False)
    assert case.labels() is None
    assert case.foreground().shape == (0, 4)
    assert not case.segmented
    with pytest.raises(DataError, match="no t1"):
        case.images(Modality.T1)
    with pytest.raises(DataError, match="no segmentation"):
        case.reference()


def break_three(brats):
    """Three bad cases, four problems."""
    (brats / "LGG" / "Brats18_P0_1" / "Brats18_P0_1_t1.nii.gz").write_bytes(b"\x1f\x8b nothing")
    flair = brats / "LGG" / "Brats18_P0_1" / "Brats18_P0_1_flair.nii.gz"
    flair.write_bytes(flair.read_bytes()[:1000])
    segmentation = brats / "HGG" / "Brats18_P1_1" / "Brats18_P1_1_seg.nii.gz"
    labels = np.asanyarray(nib.load(segmentation).dataobj).copy()
    labels[labels == 4] = 7
    nib.save(nib.Nifti1Image(labels, nib.load(segmentation).affine), segmentation)
    segmentation = brats / "LGG" / "Brats18_P2_1" / "Brats18_P2_1_seg.nii.gz"
    nib.save(nib.Nifti1Image(np.asanyarray(nib.load(segmentation).dataobj)[:-1], np.eye(4)), segmentation)


@pytest.mark.parametrize("workers", [1, 2])
def test_all_problems_at_once_and_nothing_half_written(brats, tmp_path, workers):
    break_three(brats)
    with pytest.raises(DataError, match="nothing imported, problems in 3 of 5 cases") as caught:
        run(brats, tmp_path / "cohort", workers=workers)
    lines = str(caught.value).split("\n")[1:]
    assert ["P0_1_flair" in lines[0], "P0_1_t1" in lines[1], "P1_1_seg" in lines[2], "P2_1_seg" in lines[3]] == [
        True
    ] * 4
    assert not (tmp_path / "cohort" / "cohort.json").exists()
    assert not (tmp_path / "cohort" / "cases").exists()
    with pytest.raises(DataError, match="expected a cohort"):
        Cohort.open(tmp_path / "cohort")


def test_bad_cases_are_left_out_if_asked_and_said(brats, tmp_path):
    break_three(brats)
    cohort = run(brats, tmp_path / "cohort", skip_bad=True)
    assert [case.id for case in cohort.cases] == ["Brats18_P3_1", "Brats18_P4_1"]
    assert sorted(cohort.skipped) == ["Brats18_P0_1", "Brats18_P1_1", "Brats18_P2_1"]
    assert "unknown label 7" in cohort.skipped["Brats18_P1_1"]
    cohort.verify()


def test_bad_requests(brats, tmp_path):
    case = IMPORTERS["brats"].find(brats)[0]
    for cases, error in (
        ([], DataError),
        ([case, case], DataError),
        ([Case("../up", "p", case.images)], DataError),
    ):
        with pytest.raises(error):
            import_cohort(cases, tmp_path / "c", scheme="brats2018", layout="brats", source=brats)
    with pytest.raises(UsageError, match="unknown label scheme"):
        run(brats, tmp_path / "c", scheme="brats")
    lost = Case("lost", "p", {Modality.T1: Source(brats / "none.nii.gz")})
    with pytest.raises(DataError, match="no such file"):
        import_cohort([lost], tmp_path / "c", scheme="brats2018", layout="brats", source=brats, skip_bad=True)
    assert not (tmp_path / "c" / "cohort.json").exists()


def test_what_is_no_cohort_says_so(brats, tmp_path):
    run(brats, tmp_path / "cohort")
    manifest = tmp_path / "cohort" / "cohort.json"
    content = json.loads(manifest.read_text())
    for damage, expected in (
        ("{", "JSON"),
        ("[]", "version"),
        (json.dumps({**content, "version": 99}), "version 99"),
        (json.dumps({**content, "normalisation": "none"}), "damaged"),
        (json.dumps({**content, "cases": [{"id": "x"}]}), "damaged"),
        (json.dumps({**content, "cases": [{**content["cases"][0], "id": "../../up"}]}), "damaged"),
    ):
        manifest.write_text(damage)
        with pytest.raises(DataError, match=expected):
            Cohort.open(tmp_path / "cohort")
    manifest.write_text(json.dumps(content))
    cohort = Cohort.open(tmp_path / "cohort")
    with pytest.raises(DataError, match="did you mean 'Brats18_P1_1'"):
        cohort.case("Brats18_P1_2")
    (cohort.cases[0].folder / "t1.npy").unlink()
    with pytest.raises(DataError, match=r"t1\.npy: no such file"):
        Cohort.open(tmp_path / "cohort")


def test_an_array_of_another_kind_is_refused(brats, tmp_path):
    case = run(brats, tmp_path / "cohort").cases[0]
    np.save(case.folder / "t1.npy", np.zeros((2, 2, 2), np.float16))
    with pytest.raises(DataError, match="expected"):
        case.images(Modality.T1)
    np.save(case.folder / "t1.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="damaged"):
        case.images(Modality.T1)


def test_labels_outside_the_head_are_not_cropped_away(tmp_path, phantoms):
    images, labels = phantoms.head(shape=(72, 70, 68))
    labels = np.minimum(labels, 2)
    labels[0, 0, 0] = 2
    phantoms.save(tmp_path / "data" / "a" / "a_t1.nii.gz", images[1])
    phantoms.save(tmp_path / "data" / "a" / "a_seg.nii.gz", labels)
    (case,) = run(tmp_path / "data", tmp_path / "cohort").cases
    assert (case.labels() > 0).sum() == (labels > 0).sum()


def test_what_is_handed_out_at_once_does_not_grow_with_the_number_of_cases(tmp_path, phantoms, monkeypatch):
    """So that memory stays flat over thousands of cases."""
    submitted, when = [], []

    class Pool:
        def __init__(self, workers):
            assert workers == 2

        def __enter__(self):
            return self

        def __exit__(self, *error):
            assert error == (None, None, None)

        def submit(self, work, job):
            submitted.append(job)
            future = Future()
            future.set_result(work(job))
            return future

    monkeypatch.setattr("limbeck.data.pool.Workers", Pool)
    for number in range(30):
        phantoms.brats_case(tmp_path / "data", f"c{number:02d}", roles=("t1",), segmented=False)
    cohort = run(tmp_path / "data", tmp_path / "cohort", workers=2, progress=lambda *_: when.append(len(submitted)))
    assert when[0] <= 8
    assert (when[-1], len(cohort.cases)) == (30, 30)


def test_a_changed_slice_or_voxel_file_changes_the_fingerprint(tmp_path):
    array = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
    slices = write_series(tmp_path / "series", array, np.eye(4))
    header = tmp_path / "scan.mhd"
    header.write_text(
        "ObjectType = Image\nNDims = 3\nDimSize = 4 5 6\nElementSpacing = 1 1 1\nOffset = 0 0 0\n"
        "TransformMatrix = 1 0 0 0 1 0 0 0 1\nElementType = MET_SHORT\nElementDataFile = voxels.raw\n"
    )
    (tmp_path / "voxels.raw").write_bytes(array.tobytes(order="F"))
    case = Case("a", "a", {Modality.FLAIR: Source(tmp_path / "series"), Modality.T1: Source(header)})
    for changed in (slices[2], tmp_path / "voxels.raw"):
        before = fingerprint(case)
        os.utime(changed, ns=(0, time.time_ns() + 10**9))
        assert fingerprint(case) != before
    before = fingerprint(case)
    slices[3].unlink()
    assert fingerprint(case) != before
