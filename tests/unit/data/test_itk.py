"""MetaImage and NRRD files give what the same volume gives as NIfTI, or one line that says what is wrong with them."""

import json
import os
import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from limbeck.anatomy import Modality
from limbeck.data.case import Case
from limbeck.data.grid import Grid
from limbeck.data.inspection_case import examine
from limbeck.data.preprocess import read_scans
from limbeck.data.source import Source
from limbeck.data.volume import read_grid, read_labels, read_volume, read_volumes, write_labels
from limbeck.errors import DataError, ResourceError, UsageError

SUFFIXES = (".mha", ".mhd", ".nrrd", ".nhdr")
TURN = np.array([[0.8, -0.6, 0, 0], [0.48, 0.64, -0.6, 0], [0.36, 0.48, 0.8, 0], [0, 0, 0, 1]])
AFFINES = {
    "plain": np.diag([-1.0, -1.0, 1.0, 1.0]),
    "anisotropic": np.array([[0.75, 0, 0, -90], [0, 0.75, 0, 12.5], [0, 0, 5.5, -70.25], [0, 0, 0, 1]]),
    "permuted": np.array([[0, 0, -2.5, 80], [1.25, 0, 0, -100], [0, -1, 0, 60], [0, 0, 0, 1]]),
    "oblique": TURN @ np.diag([1.0, 1.5, -3.0, 1.0]) + np.array([[0, 0, 0, 11], [0, 0, 0, -7], [0, 0, 0, 3], [0] * 4]),
    "sheared": np.array([[1, 0.2, 0, 5], [0, 1, 0.1, 6], [0, 0, 2, 7], [0, 0, 0, 1]]),
}


def save(path, array, affine=AFFINES["plain"], packed=False):
    """Write with ITK what a NIfTI file of the same array and affine holds."""
    lps = np.diag([-1, -1, 1, 1]) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image = sitk.GetImageFromArray(array.T, isVector=False)
    if image.GetDimension() == 3:
        image.SetSpacing(spacing.tolist())
        image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
        image.SetOrigin(lps[:3, 3].tolist())
    sitk.WriteImage(image, str(path), packed)
    return path


def fails(path, channel=None):
    with pytest.raises(DataError) as caught:
        read_volume(Source(path, channel))
    line = str(caught.value)
    assert "\n" not in line and "ITK ERROR" not in line
    assert str(path.with_suffix("")) in line
    what, _, remedy = line.rpartition(": ")
    assert len(what) > len(str(path)) and remedy
    return line


def edited(path, old, new):
    raw = path.read_bytes()
    assert raw.count(old) == 1
    path.write_bytes(raw.replace(old, new))
    return path


@pytest.fixture
def head(phantoms):
    return phantoms.head()[0][0]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", AFFINES)
def test_the_same_volume_as_nifti(tmp_path, head, suffix, packed, name):
    affine = AFFINES[name]
    nib.save(nib.Nifti1Image(head, affine), tmp_path / "scan.nii.gz")
    expected, wanted = read_volume(Source(tmp_path / "scan.nii.gz"))
    path = save(tmp_path / f"scan{suffix}", head, affine, packed)
    voxels, grid = read_volume(Source(path))
    assert voxels.dtype == np.float32
    assert np.array_equal(voxels, expected)
    assert grid.shape == wanted.shape
    assert np.allclose(grid.affine, wanted.affine, atol=1e-4)
    assert wanted.difference(read_grid(Source(path))) is None


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.uint16, np.int16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
def test_every_type_of_voxel(tmp_path, head, suffix, kind):
    array = (head // 4).astype(kind)
    assert np.array_equal(read_volume(Source(save(tmp_path / f"scan{suffix}", array)))[0], array)


def test_another_space_of_nrrd(tmp_path, head):
    """RAS and LAS in the header mean what they say."""
    for space, signs in (("right-anterior-superior", [1, 1, 1]), ("left-anterior-superior", [-1, 1, 1])):
        path = save(tmp_path / "scan.nrrd", head, np.diag([-1.0, -1.0, 2.0, 1.0]))
        edited(path, b"left-posterior-superior", space.encode())
        edited(path, b"origin: (0,0,0)", b"origin: (10,20,30)")
        expected = np.diag([signs[0], signs[1], 2.0, 1.0])
        expected[:3, 3] = [10 * signs[0], 20 * signs[1], 30]
        assert np.allclose(read_grid(Source(path)).affine, expected)


@pytest.mark.parametrize("suffix", [".mha", ".nrrd", ".nhdr"])
def test_channels_of_a_4d_file_and_of_vectors(tmp_path, phantoms, suffix):
    images = np.stack(phantoms.head()[0], axis=-1)
    path = tmp_path / f"four{suffix}"
    for made in ("time", "vector"):
        if made == "time":
            save(path, images)
        else:
            sitk.WriteImage(sitk.GetImageFromArray(images.transpose(2, 1, 0, 3), isVector=True), str(path))
        read = read_volumes([Source(path, channel) for channel in (2, 0)])
        assert np.array_equal(read[0][0], images[..., 2])
        assert np.array_equal(read[1][0], images[..., 0])
        assert read[0][1].shape == images.shape[:3]
        assert "4-D" in fails(path)
        assert "channel 4" in fails(path, channel=4)


def test_dimensions_that_are_no_volume(tmp_path, head):
    assert "2-D" in fails(save(tmp_path / "flat.mha", head[:, :, 3]))
    assert np.array_equal(read_volume(Source(save(tmp_path / "one.nrrd", head[..., None])))[0], head)


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kept", [0, 10, 60, 200, 0.3, 0.9, 0.999])
def test_truncated(tmp_path, head, suffix, packed, kept, capfd):
    path = save(tmp_path / f"scan{suffix}", head, packed=packed)
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * kept) if 0 < kept < 1 else kept])
    fails(path)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("suffix", [".mha", ".nrrd", ".mhd", ".nhdr"])
def test_every_flipped_byte_of_packed_data_is_noticed_or_harmless(tmp_path, head, suffix, capfd):
    path = save(tmp_path / f"scan{suffix}", head, packed=True)
    data = next((file for file in tmp_path.iterdir() if "raw" in file.name), path)
    raw = data.read_bytes()
    for place in range(0 if data != path else 420, len(raw), 499):
        data.write_bytes(raw[:place] + bytes([raw[place] ^ 0x40]) + raw[place + 1 :])
        try:
            assert np.array_equal(read_volume(Source(path))[0], head)
        except DataError as error:
            assert "\n" not in str(error)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("suffix", [".mhd", ".nhdr"])
def test_data_beside_the_header(tmp_path, head, suffix):
    path = save(tmp_path / f"scan{suffix}", head)
    data = next(file for file in tmp_path.iterdir() if file != path)
    raw = data.read_bytes()
    data.write_bytes(raw[:-100])
    assert "truncated" in fails(path)
    data.write_bytes(raw + b"\0" * 5000)
    assert "damaged" in fails(path)
    data.unlink()
    assert "missing" in fails(path)
    (tmp_path.parent / "elsewhere.raw").write_bytes(raw)
    edited(path, data.name.encode(), b"../elsewhere.raw")
    assert "beside the header" in fails(path)
    edited(path, b"../elsewhere.raw", str(tmp_path.parent / "elsewhere.raw").encode())
    assert "beside the header" in fails(path)


def test_several_data_files_or_text_are_refused(tmp_path, head):
    mhd = save(tmp_path / "scan.mhd", head)
    assert "one file" in fails(edited(mhd, b"scan.raw", b"slice%02d.raw 1 20 1"))
    assert "text" in fails(edited(save(tmp_path / "a.mha", head), b"BinaryData = True", b"BinaryData = False"))
    assert "raw or gzip" in fails(edited(save(tmp_path / "a.nrrd", head), b"encoding: raw", b"encoding: ascii"))


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
@pytest.mark.parametrize("sizes", [b"32767 32767 32767", b"512 512 512", b"-5 28 20", b"0 28 20", b"9" * 30 + b" 1 1"])
@pytest.mark.parametrize("packed", [False, True])
def test_absurd_dimensions_are_refused_before_memory_is_taken(tmp_path, head, suffix, sizes, packed):
    path = edited(save(tmp_path / f"scan{suffix}", head, packed=packed), b"24 28 20", sizes)
    before = _resident()
    fails(path)
    assert _resident() - before < 50e6


def _resident():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize(
    ("suffix", "old", "new", "word"),
    [
        # ITK would read 0 for the first two.
        (".mha", b"Offset = 0 0 0", b"Offset = nan 0 0", "finite"),
        (".mha", b"Offset = 0 0 0", b"Offset = 0,5 0 0", "3"),
        (".mha", b"Offset = 0 0 0", b"Offset = 0 0", "2 numbers in 3"),
        (".mha", b"ElementSpacing = 1 1 1", b"ElementSpacing = inf 1 1", "finite"),
        (".mha", b"ElementSpacing = 1 1 1", b"ElementSpacing = 0 1 1", "above 0"),
        (".mha", b"ElementSpacing = 1 1 1", b"ElementSpacing = -1 1 1", "above 0"),
        (".mha", b"TransformMatrix = 1 0 0 0 1 0", b"TransformMatrix = 1 0 0 1 0 0", "inverted"),
        (".mha", b"NDims = 3", b"NDims = 3\nNDims = 3", "twice"),
        (".mha", b"CompressedDataSize", b"CompressedDataSort", "CompressedDataSize"),
        (".nrrd", b"origin: (0,0,0)", b"origin: (nan,0,0)", "finite"),
        (".nrrd", b"(1,0,0) (0,1,0)", b"(1,0,0) (1,0,0)", "inverted"),
        (".nrrd", b"encoding: gzip", b"encoding: gzip\nencoding: raw", "twice"),
        (".nrrd", b"type: short", b"type: block\nblock size: 2", ""),
    ],
)
def test_numbers_that_place_no_voxel(tmp_path, head, suffix, old, new, word):
    path = save(tmp_path / f"scan{suffix}", head, np.diag([-1.0, -1, 1, 1]), packed=True)
    assert word in fails(edited(path, old, new))


def test_what_itk_stumbles_over_stays_one_line(tmp_path, head, capfd):
    """ITK writes its complaints to standard error itself; here its reader wants the lines in another order."""
    path = save(tmp_path / "scan.mha", head)
    edited(edited(path, b"NDims = 3\n", b""), b"DimSize", b"NDims = 3\nDimSize")
    assert "ITK cannot read it" in fails(path)
    assert capfd.readouterr().err == ""


def test_threads_that_read_at_once_leave_a_standard_error(tmp_path, head):
    """What is kept from it while ITK reads comes back, however reading begins and ends."""
    path = save(tmp_path / "scan.mha", head)
    before = os.fstat(2)
    with ThreadPoolExecutor(4) as pool:
        assert len(list(pool.map(read_volume, [Source(path)] * 200))) == 200
    assert os.path.samestat(os.fstat(2), before)


def test_complex_voxels_are_refused(tmp_path):
    sitk.WriteImage(sitk.GetImageFromArray(np.ones((3, 4, 5), np.complex64)), str(tmp_path / "c.nrrd"))
    assert "complex" in fails(tmp_path / "c.nrrd")


def test_missing_foreign_and_empty_files(tmp_path):
    for suffix in SUFFIXES:
        assert "no such file" in fails(tmp_path / f"none{suffix}")
        for content in (b"", b"no image at all" * 50, b"\x89PNG\r\n\x1a\n" + bytes(range(256)), b"NRRD0004\n\n"):
            (tmp_path / f"scan{suffix}").write_bytes(content)
            fails(tmp_path / f"scan{suffix}")


def test_a_data_file_whose_name_no_system_takes(tmp_path):
    text = "ObjectType = Image\nNDims = 3\nDimSize = 4 4 4\nElementSpacing = 1 1 1\nElementType = MET_SHORT\n"
    (tmp_path / "scan.mhd").write_text(f"{text}ElementDataFile = {'x' * 300}.raw\n")
    assert "its voxels lie in 'xxx" in fails(tmp_path / "scan.mhd")


def bare(path, head, *lines):
    """A file with a header of these lines and no others that it could do without."""
    if path.suffix == ".mha":
        text = ["ObjectType = Image", "NDims = 3", "DimSize = 24 28 20", *lines, "ElementType = MET_SHORT"]
        text += ["ElementDataFile = LOCAL", ""]
    else:
        text = ["NRRD0004", "type: short", "dimension: 3", "sizes: 24 28 20", "endian: little", "encoding: raw", *lines]
        text += ["", ""]
    path.write_bytes("\n".join(text).encode() + head.tobytes(order="F"))
    return path


@pytest.mark.parametrize(
    ("suffix", "lines", "found"),
    [
        (".mha", ["ElementSpacing = 2 3 4"], "neither TransformMatrix nor Offset"),
        (".mha", ["ElementSize = 2 3 4"], "neither TransformMatrix nor Offset"),
        (".nrrd", ["spacings: 2 3 4"], "neither space directions nor space origin"),
        (
            ".nrrd",
            ["space dimension: 3", "space directions: (2,0,0) (0,3,0) (0,0,4)", "space origin: (0,0,0)"],
            "no space",
        ),
    ],
)
def test_a_file_without_a_position_is_read_and_says_so(tmp_path, head, suffix, lines, found):
    path = bare(tmp_path / f"bare{suffix}", head, *lines)
    voxels, grid = read_volume(Source(path))
    assert np.array_equal(voxels, head) and grid.spacing_mm == (2, 3, 4)
    assert grid.unplaced and grid.doubt == f"{found}, so LPS is a guess"
    assert read_grid(Source(path)).unplaced


@pytest.mark.parametrize(
    ("suffix", "lines", "found"),
    [
        (".mha", ["Offset = 0 0 0", "TransformMatrix = 1 0 0 0 1 0 0 0 1"], "neither ElementSpacing nor ElementSize"),
        (".nrrd", ["space: left-posterior-superior"], "neither space directions nor spacings"),
    ],
)
def test_a_file_without_a_size_of_its_voxels_is_refused(tmp_path, head, suffix, lines, found):
    """ITK takes them for cubes of a millimetre."""
    assert found in fails(bare(tmp_path / f"bare{suffix}", head, *lines))


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
def test_a_file_without_a_position_is_placed_nowhere(tmp_path, head, suffix):
    """Nothing is resampled by a guess, and `inspect` tells of it; a cohort remembers."""
    placed = save(tmp_path / f"placed{suffix}", head[:, ::-1])
    bare = edited(save(tmp_path / f"bare{suffix}", head), *_PLACES[suffix])
    if suffix == ".mha":
        edited(bare, b"TransformMatrix = 1 0 0 0 1 0 0 0 1\n", b"")
    grid = read_grid(Source(bare))
    assert grid.unplaced and not read_grid(Source(placed)).unplaced
    again = Grid.from_json(json.loads(json.dumps(grid.to_json())))
    assert again.unplaced and np.array_equal(again.affine, grid.affine)
    assert list(read_grid(Source(placed)).to_json()) == ["shape", "header"]
    images = {Modality.T1: Source(bare), Modality.T2: Source(save(tmp_path / "t2.mha", head, AFFINES["oblique"]))}
    with pytest.raises(DataError, match="cannot be resampled"):
        read_scans(images, align=True)
    examination = examine(Case("a", "a", images), "", expect_labels=False)
    assert not examination.placed
    assert [finding.what for finding in examination.findings if "so LPS is a guess" in finding.what]


_PLACES = {".mha": (b"Offset = 0 0 0\n", b""), ".nrrd": (b"space origin: (0,0,0)\n", b"")}


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
@pytest.mark.parametrize("name", AFFINES)
def test_a_written_mask_comes_back_on_its_grid(tmp_path, phantoms, suffix, name):
    labels = phantoms.head()[1]
    grid = Grid.of(labels.shape, AFFINES[name])
    path = tmp_path / f"mask{suffix}"
    write_labels(path, labels, grid)
    read, own = read_labels(Source(path), "brats2018")
    assert np.array_equal(read, labels)
    assert np.allclose(own.affine, grid.affine, atol=1e-5)
    # The word of ITK itself, which did not write the file.
    image = sitk.ReadImage(str(path))
    assert image.GetPixelID() == sitk.sitkUInt8
    assert np.array_equal(sitk.GetArrayFromImage(image).T, np.array([0, 1, 2, 4])[labels])
    corner = np.array([7, 11, 13])
    lps = np.array(image.TransformIndexToPhysicalPoint(corner.tolist()))
    assert np.allclose(lps * [-1, -1, 1], (grid.affine @ [*corner, 1])[:3], atol=1e-4)
    assert list(tmp_path.iterdir()) == [path]


def test_a_mask_on_a_full_disk_leaves_the_old_one(tmp_path, phantoms, monkeypatch):
    labels = phantoms.head()[1]
    path = tmp_path / "mask.nrrd"
    path.write_bytes(b"old")

    def full(self, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(ResourceError):
        write_labels(path, labels, Grid.of(labels.shape, np.eye(4)))
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", [".mhd", ".nhdr"])
def test_detached_headers_are_not_written(tmp_path, suffix):
    with pytest.raises(UsageError, match=r"\.nii\.gz, \.mha or \.nrrd"):
        write_labels(tmp_path / f"mask{suffix}", np.zeros((3, 4, 5), np.uint8), Grid.of((3, 4, 5), np.eye(4)))


def test_without_simpleitk_the_extra_is_named(tmp_path, head, monkeypatch):
    path = save(tmp_path / "scan.nrrd", head)
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    with pytest.raises(UsageError) as caught:
        read_grid(Source(path))
    assert str(caught.value) == f"{path}: needs SimpleITK: pip install 'limbeck[itk]'"
    # Masks are written without it.
    write_labels(tmp_path / "mask.nrrd", np.zeros((3, 4, 5), np.uint8), Grid.of((3, 4, 5), np.eye(4)))


def test_nifti_imports_no_other_formats_library(tmp_path, phantoms, head):
    nifti = phantoms.save(tmp_path / "scan.nii.gz", head)
    command = (
        # nibabel itself imports pydicom where it is installed.
        "import sys; from pathlib import Path; from limbeck.data.source import Source\n"
        "from limbeck.data.volume import read_volume\n"
        f"read_volume(Source(Path({str(nifti)!r})))\n"
        "print(*[name for name in ('SimpleITK', 'highdicom', 'torch') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""
