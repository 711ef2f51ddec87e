import numpy as np
import pytest

from limbeck.anatomy import Modality, Subset
from limbeck.data.grid import Grid
from limbeck.data.preprocess import prepare
from limbeck.data.source import Source
from limbeck.errors import DataError, UsageError
from limbeck.normalisation import Normalisation


@pytest.fixture
def scans(phantoms):
    images, _ = phantoms.head()
    grid = Grid.of(images[0].shape, phantoms.lps)
    return {modality: (images[modality], grid) for modality in Modality}


def test_the_brain_is_z_scored_and_the_rest_stays_zero(scans):
    prepared = prepare(scans, 1.0)
    assert prepared.images.dtype == np.float16
    assert prepared.images.shape == (4, 20, 28, 24)
    for modality in Modality:
        brain = prepared.geometry.to_model(scans[modality][0]) != 0
        values = prepared.images[modality][brain].astype(np.float64)
        assert abs(values.mean()) < 1e-3
        assert abs(values.std() - 1) < 1e-3
        assert not prepared.images[modality][~brain].any()
    assert prepared.available.tolist() == [True] * 4


@pytest.mark.parametrize("spacing", [1.0, 1.7, 2.0])
@pytest.mark.parametrize("subset", Subset.every(), ids=str)
def test_a_sequence_does_not_depend_on_the_others(scans, subset, spacing):
    everything = prepare(scans, spacing)
    some = prepare({modality: scans[modality] for modality in subset}, spacing)
    assert some.available.tolist() == list(subset.mask())
    for modality in Modality:
        expected = everything.images[modality] if modality in subset else np.zeros_like(everything.images[0])
        assert np.array_equal(some.images[modality], expected)


def test_the_scale_of_the_scanner_does_not_matter(scans):
    array, grid = scans[Modality.T2]
    once = prepare({Modality.T2: (array, grid)}, 1.0).images
    thrice = prepare({Modality.T2: (array.astype(np.float32) * 3, grid)}, 1.0).images
    assert np.allclose(once, thrice, atol=2e-3)


@pytest.mark.parametrize("spacing", [0.7, 1.6, 2.0, 3.0])
def test_no_dark_rim_where_the_brain_ends(phantoms, spacing):
    images, _ = phantoms.head()
    flat = np.where(images[0] != 0, 1000, 0).astype(np.float32)
    flat[12, 14, 10] = 1100
    prepared = prepare({Modality.T1: (flat, Grid.of(flat.shape, phantoms.lps))}, spacing)
    values = prepared.images[Modality.T1][prepared.images[Modality.T1] != 0].astype(np.float32)
    assert values.min() > -0.5


def test_raw_intensities_are_those_of_the_scan(scans):
    prepared = prepare(scans, 1.0, Normalisation.RAW)
    assert prepared.images.dtype == np.float16
    for modality in Modality:
        assert np.array_equal(prepared.images[modality], prepared.geometry.to_model(scans[modality][0]))


@pytest.mark.parametrize("spacing", [0.7, 1.6, 2.0, 3.0])
def test_raw_and_z_scored_images_are_resampled_alike(scans, spacing):
    z_scored, raw = (prepare(scans, spacing, normalisation).images for normalisation in Normalisation)
    for modality in Modality:
        brain = raw[modality] != 0
        assert not z_scored[modality][~brain].any()
        values = raw[modality][brain].astype(np.float64)
        # A step of float16 between 256 and 512, over the spread.
        atol = 0.25 / values.std()
        assert np.allclose((values - values.mean()) / values.std(), z_scored[modality][brain], atol=atol)


@pytest.mark.parametrize("factor", [300, -300, 1e-7])
def test_raw_intensities_beyond_float16_are_refused(scans, factor):
    array, grid = scans[Modality.T1]
    scaled = array.astype(np.float32) * factor
    prepare({Modality.T1: (scaled, grid)}, 1.0)
    with pytest.raises(DataError, match=r"^t1: intensities reach .* expected 6\.1e-05 to 65504.* normalise by z-score"):
        prepare({Modality.T1: (scaled, grid)}, 1.0, Normalisation.RAW)


def test_raw_intensities_up_to_the_end_of_float16_are_kept(scans):
    array, grid = scans[Modality.T1]
    brightest = np.where(array == array.max(), np.float32(65504), array)
    assert prepare({Modality.T1: (brightest, grid)}, 1.0, Normalisation.RAW).images.max() == 65504


def test_files_and_arrays_give_the_same(tmp_path, phantoms, scans):
    folder = phantoms.brats_case(tmp_path, "case")
    sources = {modality: Source(folder / f"case_{modality.role}.nii.gz") for modality in Modality}
    assert np.array_equal(prepare(sources, 1.0).images, prepare(scans, 1.0).images)


def test_a_stray_grid_is_named_with_its_difference(scans, phantoms):
    affine = phantoms.lps.copy()
    affine[2, 3] = 4
    # The first sequence is the odd one: the majority decides.
    scans[Modality.FLAIR] = (scans[Modality.FLAIR][0], Grid.of(scans[Modality.FLAIR][0].shape, affine))
    with pytest.raises(DataError, match=r"^flair: affine off by 4 at row 2, column 3 .* compared with t1") as caught:
        prepare(scans, 1.0)
    assert "register" in str(caught.value)
    affine[2, 3] = 5e-4
    scans[Modality.FLAIR] = (scans[Modality.FLAIR][0], Grid.of(scans[Modality.FLAIR][0].shape, affine))
    prepare(scans, 1.0)


def test_every_bad_file_is_named(tmp_path, phantoms):
    folder = phantoms.brats_case(tmp_path, "case")
    sources = {modality: Source(folder / f"case_{modality.role}.nii.gz") for modality in Modality}
    sources[Modality.T1].path.unlink()
    sources[Modality.T2].path.write_bytes(sources[Modality.T2].path.read_bytes()[:2000])
    with pytest.raises(DataError) as caught:
        prepare(sources, 1.0)
    lines = str(caught.value).split("\n")
    assert len(lines) == 2
    assert "case_t1.nii.gz" in lines[0]
    assert "case_t2.nii.gz" in lines[1]


def test_one_image_under_two_names_is_refused(scans):
    scans[Modality.T1CE] = scans[Modality.T1]
    with pytest.raises(DataError, match="t1ce: the same image as t1"):
        prepare(scans, 1.0)


def test_arrays_are_checked_like_files(scans):
    array, grid = scans[Modality.T1]
    with pytest.raises(DataError, match="NaN"):
        prepare({Modality.T1: (np.where(array > 0, array, np.nan), grid)}, 1.0)
    with pytest.raises(DataError, match="same value"):
        prepare({Modality.T1: ((array > 0).astype(np.uint8), grid)}, 1.0)
    with pytest.raises(UsageError, match="24 x 28 x 19"):
        prepare({Modality.T1: (array[..., 1:], grid)}, 1.0)
    for images, spacing in (({}, 1.0), (scans, 0.0), (scans, float("nan"))):
        with pytest.raises(UsageError):
            prepare(images, spacing)


@pytest.mark.parametrize("spacing", [0.7, 1.6, 2.0, 3.0])
def test_the_brain_keeps_its_volume(scans, spacing):
    prepared = prepare({Modality.T1: scans[Modality.T1]}, spacing)
    # As parts of the whole volume, which has more or fewer voxels now.
    before = (scans[Modality.T1][0] != 0).mean()
    after = (prepared.images[Modality.T1] != 0).mean()
    assert abs(after / before - 1) < 0.08
