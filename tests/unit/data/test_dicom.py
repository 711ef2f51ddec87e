"""A DICOM series gives what the same volume gives as NIfTI, or one line that says what is wrong with it."""

import os
import random
import shutil
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEGLosslessSV1, RLELossless
from series import write_enhanced, write_series

from limbeck.data.source import Source
from limbeck.data.volume import parts, read_grid, read_volume
from limbeck.errors import DataError, UsageError

TURN = np.array([[0.8, -0.6, 0, 0], [0.48, 0.64, -0.6, 0], [0.36, 0.48, 0.8, 0], [0, 0, 0, 1]])
AFFINES = {
    "axial": np.diag([-1.0, -1.0, 1.0, 1.0]),
    "anisotropic": np.array([[-0.75, 0, 0, 90], [0, -0.75, 0, 12.5], [0, 0, 5.5, -70.25], [0, 0, 0, 1]]),
    "downward": np.diag([-1.0, -1.0, -3.0, 1.0]),
    # Slices from left to right, rows from front to back.
    "sagittal": np.array([[0, 0, 2.5, -80], [-1.25, 0, 0, 100], [0, -1, 0, 60], [0, 0, 0, 1]]),
    "oblique": TURN @ np.diag([1.0, 1.5, 3.0, 1.0]) + np.array([[0, 0, 0, 11], [0, 0, 0, -7], [0, 0, 0, 3], [0] * 4]),
}


def fails(folder, *words):
    with pytest.raises(DataError) as caught:
        read_volume(Source(folder))
    line = str(caught.value)
    assert "\n" not in line and str(folder) in line and line.count(": ") >= 2
    for word in words:
        assert word in line, line
    return line


def changed(path, **elements):
    data = dcmread(path)
    for name, value in elements.items():
        setattr(data, name, value)
    data.save_as(path)


@pytest.fixture
def head(phantoms):
    return phantoms.head()[0][0]


@pytest.fixture
def series(tmp_path, head):
    return write_series(tmp_path / "series", head, AFFINES["anisotropic"])


@pytest.mark.parametrize("name", AFFINES)
@pytest.mark.parametrize("kind", ["classic", "enhanced"])
def test_the_same_volume_as_nifti(tmp_path, head, name, kind):
    affine = AFFINES[name]
    nib.save(nib.Nifti1Image(head, affine), tmp_path / "scan.nii.gz")
    expected, wanted = read_volume(Source(tmp_path / "scan.nii.gz"))
    if kind == "classic":
        write_series(tmp_path / "series", head, affine)
    else:
        write_enhanced(tmp_path / "series" / "one.dcm", head, affine)
    voxels, grid = read_volume(Source(tmp_path / "series"))
    # Slices go up along the normal of rows and columns; a stack that goes down is the same turned over.
    if np.linalg.det((np.diag([-1, -1, 1, 1]) @ affine)[:3, :3]) < 0:
        expected = expected[:, :, ::-1]
        turned = affine.copy()
        turned[:3, 3] += affine[:3, 2] * (head.shape[2] - 1)
        turned[:3, 2] *= -1
    else:
        turned = wanted.affine
    assert voxels.dtype == np.float32
    assert np.array_equal(voxels, expected)
    assert np.allclose(grid.affine, turned, atol=1e-4)
    assert grid.difference(read_grid(Source(tmp_path / "series"))) is None


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int16])
def test_every_type_of_voxel(tmp_path, head, kind):
    array = (head // 2).astype(kind)
    write_series(tmp_path / "series", array, AFFINES["axial"])
    assert np.array_equal(read_volume(Source(tmp_path / "series"))[0], array)


def test_slope_and_intercept_are_applied(tmp_path, head):
    write_series(tmp_path / "series", head, AFFINES["axial"], slope=("0.5", "-3"))
    assert np.array_equal(read_volume(Source(tmp_path / "series"))[0], head * np.float32(0.5) - 3)
    write_enhanced(tmp_path / "enhanced" / "one.dcm", head, AFFINES["axial"], slope=(0.5, -3))
    assert np.array_equal(read_volume(Source(tmp_path / "enhanced"))[0], head * np.float32(0.5) - 3)


def test_names_and_numbers_do_not_decide_the_order(tmp_path, series, head):
    names = [f"{number:03d}" for number in range(len(series))]
    random.Random(3).shuffle(names)
    for path, name in zip(series, names, strict=True):
        changed(path, InstanceNumber=int(name))
        path.rename(path.with_name(name))
    assert np.array_equal(read_volume(Source(tmp_path / "series"))[0], head)


def test_what_is_no_image_is_passed_over(tmp_path, series, head):
    folder = tmp_path / "series"
    (folder / "README.txt").write_text("no image")
    (folder / "._IM0001.dcm").write_bytes(b"\0" * 4096)
    (folder / ".directory").write_bytes(b"")
    (folder / "deeper").mkdir()
    shutil.copy(series[0], folder / "deeper")
    report = dcmread(series[0])
    for name in ("Rows", "Columns", "PixelData"):
        delattr(report, name)
    report.SeriesInstanceUID = "1.2.3"
    report.save_as(folder / "report.dcm")
    mask = dcmread(series[0])
    mask.Modality, mask.SeriesInstanceUID = "SEG", "1.2.4"
    mask.save_as(folder / "mask.dcm")
    assert np.array_equal(read_volume(Source(folder))[0], head)


@pytest.mark.parametrize("number", [0, -1])
def test_a_link_that_leads_nowhere_is_no_slice_to_pass_over(tmp_path, series, number):
    """At either end of the series no gap would tell of it."""
    series[number].unlink()
    series[number].symlink_to(tmp_path / "gone.dcm")
    fails(series[0].parent, series[number].name, "may be a slice")
    with pytest.raises(DataError, match="may be a slice"):
        parts(series[0].parent)


@pytest.mark.parametrize("number", [0, -1])
@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("IM.dcm", b"", "empty"),
        ("0007", b"", "empty"),
        ("0007", bytes(131), "begins with zeros"),
        ("0007", bytes(3000), "begins with zeros"),
        ("IM.DCM", b"<html>sign in</html>" * 50, "no DICOM file, whatever its name says"),
        ("IM.ima", b"short", "no DICOM file, whatever its name says"),
    ],
)
def test_a_slice_of_which_nothing_is_left_is_none_to_pass_over(series, number, name, content, found):
    """At either end of the series no gap would tell of it."""
    series[number].unlink()
    lost = series[number].with_name(name)
    lost.write_bytes(content)
    fails(series[0].parent, f"{lost}: {found}, and may be a lost slice: copy the series again")


def test_links_to_slices_are_followed(tmp_path, series, head):
    series[-1].rename(tmp_path / "elsewhere.dcm")
    series[-1].symlink_to(tmp_path / "elsewhere.dcm")
    assert np.array_equal(read_volume(Source(series[0].parent))[0], head)
    assert parts(series[0].parent) == sorted(series)


def test_a_slice_that_may_not_be_read_is_named(series, monkeypatch):
    # For root, permissions are no hindrance.
    really = os.open

    def forbidden(path, *rest):
        if path == series[3]:
            raise PermissionError(13, "Permission denied")
        return really(path, *rest)

    monkeypatch.setattr(os, "open", forbidden)
    fails(series[0].parent, "IM0003.dcm: cannot be opened (Permission denied)")


@pytest.mark.parametrize("way", ["iterdir", "stat", "is_dir"])
def test_a_folder_that_may_not_be_read_is_named(series, monkeypatch, way):
    really = getattr(Path, way)

    def forbidden(path, **options):
        if path == (series[3] if way == "stat" else series[3].parent):
            raise PermissionError(13, "Permission denied")
        return really(path, **options)

    monkeypatch.setattr(Path, way, forbidden)
    fails(series[0].parent, "(Permission denied)")
    with pytest.raises(DataError, match="Permission denied"):
        parts(series[0].parent)


def test_a_gap_is_named(series):
    series[7].unlink()
    fails(series[0].parent, "1 missing between IM0006.dcm and IM0008.dcm", "11 mm apart where others are 5.5 mm")
    series[8].unlink()
    fails(series[0].parent, "2 missing between IM0006.dcm and IM0009.dcm")


def test_slices_that_are_no_stack(series):
    folder = series[0].parent
    whole = series[4].read_bytes()
    position = [float(value) for value in dcmread(series[4]).ImagePositionPatient]
    for words, elements in (
        ("uneven spacing", {"ImagePositionPatient": [*position[:2], position[2] + 2]}),
        ("off the others' line", {"ImagePositionPatient": [position[0] + 3, *position[1:]]}),
        ("orientation", {"ImageOrientationPatient": [0, 1, 0, 1, 0, 0]}),
        ("spacing", {"PixelSpacing": [1, 1]}),
        ("right angle", {"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}),
        ("above 0", {"PixelSpacing": [0, 1]}),
        ("no ImagePositionPatient", {"ImagePositionPatient": None}),
        ("colours", {"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}),
        ("without a place", {"NumberOfFrames": 2, "Rows": 14}),
    ):
        changed(series[4], **elements)
        fails(folder, words)
        series[4].write_bytes(whole)
    shutil.copy(series[4], folder / "again.dcm")
    fails(folder, "IM0004.dcm and again.dcm lie at the same place")


def test_slices_of_another_size(tmp_path, series, head):
    shutil.rmtree(tmp_path / "series")
    uid = "1.2.3.4"
    write_series(tmp_path / "series", head[:, :, :9], AFFINES["axial"], series=uid)
    moved = AFFINES["axial"].copy()
    moved[2, 3] = 9
    write_series(tmp_path / "series", head[:20, :, 9:], moved, prefix="X", series=uid)
    fails(tmp_path / "series", "28 x 20 voxels", "28 x 24")


def test_several_series_and_none(tmp_path, series, head):
    write_series(tmp_path / "series", head, AFFINES["axial"], title="FLAIR\n\x1b[2J", number=6, prefix="OTHER")
    line = fails(tmp_path / "series", "2 series", "5 T1 post (20)", "6 FLAIR", "a folder for each")
    assert "\x1b" not in line
    (tmp_path / "none").mkdir()
    fails(tmp_path / "none", "no image in DICOM")
    shutil.copy(series[0], tmp_path / "none")
    fails(tmp_path / "none", "one slice")


@pytest.mark.parametrize("kept", [140, 200, 400, 700, 900, -400, -1])
def test_truncated_slices(series, kept):
    raw = series[3].read_bytes()
    series[3].write_bytes(raw[:kept])
    fails(series[0].parent)


def test_a_slice_without_its_voxels_is_noticed_before_any_is_read(series, head):
    series[3].write_bytes(series[3].read_bytes()[: -head[:, :, 0].nbytes])
    with pytest.raises(DataError, match="truncated"):
        read_grid(Source(series[0].parent))


def test_every_flipped_byte_of_a_header_is_noticed_or_harmless(tmp_path, head):
    """What a flip turns into another number cannot be noticed; it must stay one line or one volume."""
    series = write_series(tmp_path / "series", head[:, :, :3], AFFINES["axial"])
    raw = series[1].read_bytes()
    for place in range(0, len(raw) - head[:, :, 0].nbytes, 7):
        series[1].write_bytes(raw[:place] + bytes([raw[place] ^ 0x40]) + raw[place + 1 :])
        try:
            read_volume(Source(tmp_path / "series"))
        except DataError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize(
    "elements", [{"Rows": 65535, "Columns": 65535}, {"BitsAllocated": 64}, {"NumberOfFrames": 10**9}]
)
def test_absurd_sizes_are_refused_before_memory_is_taken(series, elements):
    tracemalloc = pytest.importorskip("tracemalloc")
    tracemalloc.start()
    for path in series:
        changed(path, **elements)
    tracemalloc.reset_peak()
    fails(series[0].parent)
    assert tracemalloc.get_traced_memory()[1] < 30e6
    tracemalloc.stop()


def test_absurd_sizes_of_compressed_slices(series):
    for path in series:
        data = dcmread(path)
        data.compress(RLELossless)
        data.Rows = data.Columns = 65535
        data.save_as(path)
    assert "voxels: expected at most" in fails(series[0].parent)


def test_more_files_than_any_scan_has(tmp_path, series, monkeypatch):
    monkeypatch.setattr("limbeck.data.dicom._MAX_FILES", 19)
    fails(tmp_path / "series", "20 files", "at most 19")


def test_compressed_slices_are_read_if_a_decoder_is_there(series, head):
    for path in series:
        data = dcmread(path)
        data.compress(RLELossless)
        data.save_as(path)
    assert np.array_equal(read_volume(Source(series[0].parent))[0], head)
    series[3].write_bytes(series[3].read_bytes()[:-200])
    fails(series[0].parent)


def test_a_missing_decoder_is_named_before_any_voxel_is_read(series, monkeypatch):
    data = dcmread(series[0])
    data.compress(RLELossless)
    # The voxels are not looked at, so they may be of another kind than the header says.
    data.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    data.save_as(series[0])
    monkeypatch.setattr("pydicom.pixels.decoders.base.Decoder.is_available", False)
    with pytest.raises(DataError, match="no decoder is installed") as caught:
        read_grid(Source(series[0].parent))
    assert JPEGLosslessSV1.name in str(caught.value)


def test_a_deflated_file_is_refused_since_it_unpacks_whole(series):
    data = dcmread(series[0])
    data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    data.save_as(series[0])
    fails(series[0].parent, "Deflated")


def test_a_channel_of_a_series_is_refused(series):
    with pytest.raises(DataError, match="channel 1"):
        read_volume(Source(series[0].parent, 1))


def test_memory_that_runs_out_is_no_damage_of_the_file(series, monkeypatch):
    def too_large(*_, **__):
        raise MemoryError("Unable to allocate 9 GiB")

    monkeypatch.setattr("pydicom.pixels.pixel_array", too_large)
    with pytest.raises(MemoryError):
        read_volume(Source(series[0].parent))


def test_without_pydicom_the_extra_is_named(series, monkeypatch):
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(UsageError) as caught:
        read_grid(Source(series[0].parent))
    assert str(caught.value) == f"{series[0].parent}: needs pydicom: pip install 'limbeck[dicom]'"
