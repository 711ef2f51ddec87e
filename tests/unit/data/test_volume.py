import gzip
import struct

import nibabel as nib
import numpy as np
import pytest

from limbeck.data.grid import Grid
from limbeck.data.source import Source
from limbeck.data.volume import read_grid, read_labels, read_volume, read_volumes, write_labels
from limbeck.errors import DataError, UsageError

OBLIQUE = np.array([[0, -0.9, 0.1, 40], [1.1, 0, 0, -20.5], [0, 0.1, 2.5, 7.25], [0, 0, 0, 1]])


def fails(path, channel=None, labels=False):
    with pytest.raises(DataError) as caught:
        read_labels(Source(path, channel), "brats2018") if labels else read_volume(Source(path, channel))
    line = str(caught.value)
    assert "\n" not in line
    assert str(path) in line
    what, _, remedy = line.rpartition(": ")
    assert len(what) > len(str(path)) and remedy
    return line


def patched(path, offset, value, kind):
    raw = bytearray(gzip.decompress(path.read_bytes()))
    struct.pack_into(kind, raw, offset, *value)
    path.write_bytes(gzip.compress(bytes(raw)))


@pytest.fixture
def image(tmp_path, phantoms):
    return phantoms.save(tmp_path / "scan.nii.gz", phantoms.head()[0][0])


def test_values_are_those_of_the_file(tmp_path, phantoms):
    array = phantoms.head()[0][1]
    for suffix in (".nii", ".nii.gz"):
        voxels, grid = read_volume(Source(phantoms.save(tmp_path / f"scan{suffix}", array, OBLIQUE)))
        assert voxels.dtype == np.float32
        assert np.array_equal(voxels, array)
        assert np.allclose(grid.affine, OBLIQUE, atol=1e-6)


def test_slope_and_intercept_are_applied(tmp_path):
    image = nib.Nifti1Image(np.arange(60, dtype=np.int16).reshape(3, 4, 5), np.eye(4))
    image.header.set_slope_inter(0.5, -3)
    nib.save(image, tmp_path / "scaled.nii.gz")
    expected = nib.load(tmp_path / "scaled.nii.gz").get_fdata(dtype=np.float32)
    assert np.array_equal(read_volume(Source(tmp_path / "scaled.nii.gz"))[0], expected)


def test_a_big_endian_file_is_read(tmp_path, phantoms):
    array = phantoms.head()[0][0]
    nib.save(nib.Nifti1Image(array, np.eye(4), nib.Nifti1Header(endianness=">")), tmp_path / "big.nii.gz")
    assert np.array_equal(read_volume(Source(tmp_path / "big.nii.gz"))[0], array)


def test_channels_of_a_4d_file(tmp_path, phantoms):
    images = np.stack(phantoms.head()[0], axis=-1)
    path = phantoms.save(tmp_path / "four.nii.gz", images)
    read = read_volumes([Source(path, channel) for channel in (2, 0)])
    assert np.array_equal(read[0][0], images[..., 2])
    assert np.array_equal(read[1][0], images[..., 0])
    assert "4-D" in fails(path)
    assert "channel 4" in fails(path, channel=4)


def test_a_fourth_dimension_of_one_is_no_dimension(tmp_path, phantoms):
    array = phantoms.head()[0][0]
    assert np.array_equal(read_volume(Source(phantoms.save(tmp_path / "one.nii.gz", array[..., None])))[0], array)


def test_block_compressed_gzip(image, tmp_path):
    raw = gzip.decompress(image.read_bytes())
    path = tmp_path / "blocks.nii.gz"
    path.write_bytes(b"".join(gzip.compress(raw[start : start + 5000]) for start in range(0, len(raw), 5000)))
    assert np.array_equal(read_volume(Source(path))[0], read_volume(Source(image))[0])


def test_missing_foreign_and_garbage_files(tmp_path):
    assert "no such file" in fails(tmp_path / "none.nii.gz")
    for name in ("scan.mha", "garbage.nii.gz", "garbage.nii", "empty.nii.gz"):
        (tmp_path / name).write_bytes(b"" if "empty" in name else b"no image at all" * 50)
        fails(tmp_path / name)


@pytest.mark.parametrize("kept", [0.02, 0.3, 0.9, 0.999])
def test_truncated_gzip(image, kept):
    raw = image.read_bytes()
    image.write_bytes(raw[: int(len(raw) * kept)])
    fails(image)


def test_every_flipped_byte_is_noticed_or_harmless(image):
    raw, voxels = image.read_bytes(), read_volume(Source(image))[0]
    for place in range(400, len(raw) - 8, 997):
        image.write_bytes(raw[:place] + bytes([raw[place] ^ 0x40]) + raw[place + 1 :])
        try:
            assert np.array_equal(read_volume(Source(image))[0], voxels)
        except DataError as error:
            assert str(image) in str(error)


def test_truncated_without_compression(tmp_path, phantoms):
    path = phantoms.save(tmp_path / "scan.nii", phantoms.head()[0][0])
    path.write_bytes(path.read_bytes()[:-100])
    assert "truncated" in fails(path)


@pytest.mark.parametrize(
    "dimensions", [(3, 32767, 32767, 32767, 1, 1, 1, 1), (3, 512, 512, 512, 1, 1, 1, 1), (3, -5, 10, 10, 1, 1, 1, 1)]
)
def test_absurd_dimensions_are_refused_before_memory_is_taken(image, dimensions):
    patched(image, 40, dimensions, "<8h")
    tracemalloc = pytest.importorskip("tracemalloc")
    tracemalloc.start()
    fails(image)
    assert tracemalloc.get_traced_memory()[1] < 30e6
    tracemalloc.stop()


def test_nan_infinity_and_constant_images(tmp_path, phantoms):
    for name, value in (("nan", np.nan), ("inf", np.inf)):
        array = phantoms.head()[0][0].astype(np.float32)
        array[3, 4, 5] = value
        assert "1 voxels are NaN or infinite" in fails(phantoms.save(tmp_path / f"{name}.nii.gz", array))
    assert "every voxel is 0" in fails(phantoms.save(tmp_path / "zero.nii.gz", np.zeros((4, 5, 6), np.int16)))
    assert "every voxel is 7" in fails(phantoms.save(tmp_path / "seven.nii.gz", np.full((4, 5, 6), 7, np.int16)))


def test_unusable_affines(image):
    whole = image.read_bytes()
    patched(image, 280, [np.nan] * 4, "<4f")
    assert "affine" in fails(image)
    image.write_bytes(whole)
    patched(image, 280, [0.0] * 4, "<4f")
    assert "cannot be inverted" in fails(image)


def test_a_file_without_a_position_is_read_and_says_so(image):
    patched(image, 252, [0, 0], "<2h")
    _, grid = read_volume(Source(image))
    assert grid.unplaced
    assert grid.doubt == f"neither qform nor sform, so {grid.orientation} is a guess"


def test_complex_voxels_are_refused(tmp_path, phantoms):
    assert "complex" in fails(phantoms.save(tmp_path / "c.nii.gz", np.ones((3, 3, 3), np.complex64)))


def test_labels_are_translated(tmp_path, phantoms):
    labels = phantoms.head()[1]
    for scheme, codes in (("brats2018", [0, 1, 2, 4]), ("brats2023", [0, 1, 2, 3]), ("msd", [0, 2, 1, 3])):
        for kind in (np.uint8, np.int16, np.uint16, np.float32):
            path = phantoms.save(tmp_path / "seg.nii.gz", np.array(codes, kind)[labels])
            read, _ = read_labels(Source(path), scheme)
            assert read.dtype == np.uint8
            assert np.array_equal(read, labels)


@pytest.mark.parametrize("value", [3, 7, 300, -1, 1.5, np.nan, 1e36])
def test_unknown_labels_are_named(tmp_path, phantoms, value):
    labels = phantoms.head()[1].astype(np.float32)
    labels[labels == 3] = 4
    labels[0, 0, 0] = value
    line = fails(phantoms.save(tmp_path / "seg.nii.gz", labels), labels=True)
    assert f"unknown label {float(np.float32(value)):.9g}" in line


def test_a_code_between_codes_is_told_as_it_is_with_its_cause(tmp_path, phantoms):
    labels = phantoms.head()[1].astype(np.float32)
    labels[labels == 3] = 4
    labels[0, 0, 0] = 1.0000001
    line = fails(phantoms.save(tmp_path / "seg.nii.gz", labels), labels=True)
    assert "unknown label 1.00000012, which interpolation leaves: resample" in line


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16, np.int32])
def test_codes_that_a_program_scaled_come_back(tmp_path, phantoms, kind):
    """As `nib.Nifti1Image(seg.get_fdata(), seg.affine, seg.header)` saves them."""
    labels = phantoms.head()[1]
    first = nib.load(phantoms.save(tmp_path / "first.nii.gz", np.array([0, 1, 2, 4], kind)[labels]))
    nib.save(nib.Nifti1Image(first.get_fdata(), first.affine, first.header), tmp_path / "seg.nii.gz")
    saved = nib.load(tmp_path / "seg.nii.gz")
    assert saved.dataobj.slope != 1 and not np.array_equal(saved.get_fdata(), first.get_fdata())
    assert np.array_equal(read_labels(Source(tmp_path / "seg.nii.gz"), "brats2018")[0], labels)
    soft = first.get_fdata()
    soft[1:] = (soft[1:] + soft[:-1]) / 2
    nib.save(nib.Nifti1Image(soft, first.affine, first.header), tmp_path / "seg.nii.gz")
    assert "which interpolation leaves" in fails(tmp_path / "seg.nii.gz", labels=True)


def test_values_in_steps_of_half_a_code_stay_as_they_are(tmp_path, phantoms):
    labels = phantoms.head()[1].astype(np.uint8)
    for slope, found in ((0.5, "unknown label 0.5"), (0.9, "unknown label"), (1.5, "unknown label 1.5")):
        image = nib.Nifti1Image(labels, phantoms.lps)
        image.header.set_slope_inter(slope, 0)
        nib.save(image, tmp_path / "seg.nii")
        raw = bytearray((tmp_path / "seg.nii").read_bytes())
        raw[352:] = labels.tobytes(order="F")
        (tmp_path / "seg.nii").write_bytes(raw)
        assert found in fails(tmp_path / "seg.nii", labels=True)


def test_unknown_labels_lead_to_the_right_scheme(tmp_path, phantoms):
    line = fails(phantoms.save(tmp_path / "seg.nii.gz", phantoms.head()[1]), labels=True)
    assert "fit brats2023" in line
    with pytest.raises(UsageError, match="did you mean 'brats2018'"):
        read_labels(Source(tmp_path / "seg.nii.gz"), "brats2O18")


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("codes", [(1, 0), (0, 2), (2, 1), (0, 0)])
def test_written_labels_lie_on_the_grid_of_the_scan(tmp_path, phantoms, suffix, codes):
    scan = nib.Nifti1Image(phantoms.head()[0][0], OBLIQUE)
    scan.set_qform(OBLIQUE, codes[0])
    scan.set_sform(OBLIQUE, codes[1])
    scan.header.set_xyzt_units("mm", "sec")
    nib.save(scan, tmp_path / "scan.nii.gz")
    labels = phantoms.head()[1]
    _, grid = read_volume(Source(tmp_path / "scan.nii.gz"))
    write_labels(tmp_path / f"out{suffix}", labels, Grid.from_json(grid.to_json()), "brats2018")
    before, after = nib.load(tmp_path / "scan.nii.gz"), nib.load(tmp_path / f"out{suffix}")
    assert after.get_data_dtype() == np.uint8
    assert np.array_equal(before.affine, after.affine)
    for name in ("qform_code", "sform_code", "pixdim", "srow_x", "quatern_b", "qoffset_z", "xyzt_units"):
        assert np.array_equal(before.header[name], after.header[name]), name
    assert np.array_equal(np.asanyarray(after.dataobj), np.array([0, 1, 2, 4])[labels])
    assert np.array_equal(read_labels(Source(tmp_path / f"out{suffix}"), "brats2018")[0], labels)


def test_what_cannot_be_written_is_refused(tmp_path):
    grid = Grid.of((3, 4, 5), np.eye(4))
    labels = np.zeros((3, 4, 5), np.uint8)
    with pytest.raises(UsageError, match=r"\.nii"):
        write_labels(tmp_path / "out.png", labels, grid)
    with pytest.raises(UsageError, match="3 x 4 x 6"):
        write_labels(tmp_path / "out.nii", np.zeros((3, 4, 6), np.uint8), grid)
    labels[0, 0, 0] = 4
    with pytest.raises(UsageError, match="resection cavity"):
        write_labels(tmp_path / "out.nii", labels, grid, "brats2018")
    assert not list(tmp_path.iterdir())


def test_grids_differ_in_words():
    grid = Grid.of((3, 4, 5), OBLIQUE)
    moved = OBLIQUE.copy()
    moved[0, 3] += 2.5
    assert grid.difference(Grid.of((3, 4, 5), OBLIQUE + 1e-5)) is None
    assert "shape 3 x 4 x 6 instead of 3 x 4 x 5" in grid.difference(Grid.of((3, 4, 6), OBLIQUE))
    assert "off by 2.5 at row 0, column 3" in grid.difference(Grid.of((3, 4, 5), moved))


def test_the_grid_alone(image):
    assert read_grid(Source(image)).orientation == "LPS"
    assert read_grid(Source(image)).spacing_mm == (1.0, 1.0, 1.0)


def test_codes_beyond_a_byte_do_not_wrap_around(tmp_path, phantoms):
    for value in (256, -256, 260):
        labels = phantoms.head()[1].astype(np.int16)
        labels[labels == 3] = 4
        labels[0, 0, 0] = value
        assert f"unknown label {value}" in fails(phantoms.save(tmp_path / "seg.nii.gz", labels), labels=True)


def test_more_voxels_than_any_scan_has(image, monkeypatch):
    monkeypatch.setattr("limbeck.data.header.MAX_VOXELS", 13439)
    assert "24 x 28 x 20 voxels: expected at most 13439" in fails(image)
