"""What a NIfTI header may say, and what is made of it."""

from __future__ import annotations

import gzip
import json
import logging
import struct

import nibabel as nib
import numpy as np
import pytest

from limbeck.anatomy import Modality
from limbeck.data.case import Case
from limbeck.data.grid import Grid
from limbeck.data.inspection_case import examine
from limbeck.data.nifti import read_grid, unpack
from limbeck.data.source import Source
from limbeck.data.volume import read_labels, read_volume, write_labels
from limbeck.errors import DataError

RNG = np.random.default_rng(0)
ARRAY = RNG.integers(1, 1000, (7, 8, 9)).astype(np.int16)
AFFINE = np.array([[0, -2.0, 0, 40], [1.5, 0, 0, -20.5], [0, 0, 2.5, 7.25], [0, 0, 0, 1]])


@pytest.fixture
def written(tmp_path):
    """A file of these fields; the suffix and kind of header can be chosen."""

    def write(suffix=".nii", kind=nib.Nifti1Image, array=ARRAY, **fields):
        image = kind(array, AFFINE)
        image.set_qform(AFFINE, 1)
        image.set_sform(AFFINE, 1)
        path = tmp_path / f"scan{suffix}"
        nib.save(image, path)
        raw = path.read_bytes() if suffix == ".nii" else gzip.decompress(path.read_bytes())
        header = type(image.header)(raw[: image.header.sizeof_hdr], check=False)
        for name, value in fields.items():
            header.structarr[name] = value
        raw = header.binaryblock + raw[len(header.binaryblock) :]
        path.write_bytes(raw if suffix == ".nii" else gzip.compress(raw))
        return path

    return write


def refused(path) -> str:
    with pytest.raises(DataError) as caught:
        read_grid(Source(path))
    line = str(caught.value)
    with pytest.raises(DataError, match="scan"):
        read_volume(Source(path))
    assert line.startswith(f"{path}: ") and "\n" not in line
    return line


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"vox_offset": 0}, "begin at byte 0"),
        ({"vox_offset": 347}, "too low"),
        ({"vox_offset": np.nan}, "begin at byte"),
        ({"vox_offset": np.inf}, "begin at byte"),
        ({"vox_offset": 2**25}, "begin at byte 33554432"),
        ({"magic": b"ni1"}, "pair"),
        ({"magic": b"n+9"}, "no NIfTI file"),
        ({"datatype": 1792}, "type complex128"),
        ({"datatype": 128}, "type RGB"),
        ({"datatype": 32}, "type complex64"),
        ({"datatype": 1}, "not supported"),
        ({"dim": [3, 32767, 32767, 32767, 1, 1, 1, 1]}, "declares 32767 x 32767 x 32767"),
        ({"dim": [3, 512, 512, 512, 1, 1, 1, 1]}, "truncated"),
        ({"dim": [0] * 8}, "voxels"),
        ({"dim": [3, -1, 1, 1, 1, 1, 1, 1]}, "glmin"),
        ({"scl_slope": 1, "scl_inter": np.inf}, "intercept"),
        ({"sform_code": 0, "quatern_b": 3}, "no rotation"),
        ({"quatern_b": np.nan}, "its qform holds NaN"),
        ({"srow_y": [0, np.inf, 0, 0]}, "its sform holds NaN"),
        ({"pixdim": [1, 2, np.nan, 2, 1, 1, 1, 1]}, "voxel sizes hold NaN"),
        ({"srow_x": [0, -2e-6, 0, 40], "srow_y": [1e-6, 0, 0, 0]}, "check the unit"),
        ({"srow_x": [0, -2000, 0, 40]}, "expected edges"),
        ({"srow_x": [0, -90, 0, 40]}, "spans"),
        ({"srow_x": [0, -2, 0, 4e7]}, "4e+07 mm away"),
        ({"srow_x": [2, -2, 0, 0], "srow_y": [2, -2, 0, 0]}, "same way"),
    ],
    ids=str,
)
def test_a_header_that_no_scanner_writes_is_refused(written, fields, found) -> None:
    assert found in refused(written(**fields))


def test_an_axis_that_nifti_1_cannot_write_is_refused(tmp_path) -> None:
    image = nib.Nifti2Image(np.ones((40000, 1, 1), np.uint8), np.diag([0.011, 1, 1, 1]))
    nib.save(image, tmp_path / "scan.nii")
    assert "at most 32767 along an axis" in refused(tmp_path / "scan.nii")


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_file_that_goes_on_after_its_voxels_is_refused(suffix, written) -> None:
    path = written(suffix, array=np.ones((40, 40, 40), np.int16), dim=[3, 40, 40, 30, 1, 1, 1, 1])
    with pytest.raises(DataError, match="goes on after the 40 x 40 x 30 voxels"):
        read_volume(Source(path))


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_last_block_that_was_filled_is_no_fault(suffix, written) -> None:
    path = written(suffix, dim=[3, 7, 8, 8, 1, 1, 1, 1])
    assert np.array_equal(read_volume(Source(path))[0], ARRAY[..., :8])


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("size", [16, 5008, 2**22])
def test_extensions_are_passed_over(tmp_path, kind, size) -> None:
    image = kind(ARRAY, AFFINE)
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"x" * (size - 8)))
    for suffix in (".nii", ".nii.gz"):
        nib.save(image, tmp_path / f"scan{suffix}")
        read, grid = read_volume(Source(tmp_path / f"scan{suffix}"))
        assert np.array_equal(read, ARRAY)
        assert np.array_equal(grid.affine, AFFINE)


def test_lies_about_extensions_do_not_matter(tmp_path) -> None:
    nib.save(nib.Nifti1Image(ARRAY, AFFINE), tmp_path / "scan.nii")
    raw = (tmp_path / "scan.nii").read_bytes()
    (tmp_path / "scan.nii").write_bytes(raw[:348] + b"\1\0\0\0" + raw[352:])
    assert np.array_equal(read_volume(Source(tmp_path / "scan.nii"))[0], ARRAY)


def test_scaling_keeps_numbers_that_32_bits_cannot(tmp_path) -> None:
    labels = np.array([0, 1, 2, 4], np.int32)[RNG.integers(0, 4, (5, 6, 7))]
    image = nib.Nifti1Image(labels, AFFINE)
    nib.save(image, tmp_path / "scan.nii")
    raw = bytearray((tmp_path / "scan.nii").read_bytes())
    struct.pack_into("<ff", raw, 112, 1.0, -(2.0**24))
    raw[352:] = (labels + 2**24).tobytes(order="F")
    (tmp_path / "scan.nii").write_bytes(raw)
    read, _ = read_labels(Source(tmp_path / "scan.nii"), "brats2018")
    assert np.array_equal(np.array([0, 1, 2, 4])[read], labels)


def test_numbers_that_32_bits_cannot_hold_are_refused_without_a_warning(tmp_path, recwarn) -> None:
    nib.save(nib.Nifti1Image(ARRAY * 1e300, AFFINE), tmp_path / "scan.nii")
    with pytest.raises(DataError, match="504 voxels are NaN or infinite"):
        read_volume(Source(tmp_path / "scan.nii"))
    assert not recwarn.list


def test_what_stands_in_a_form_that_is_not_used_does_not_matter(written, tmp_path) -> None:
    path = written(qform_code=0, quatern_b=np.nan, qoffset_x=np.inf, pixdim=[1, 1.5, 2, 2.5, np.nan, 1, 1, 1])
    grid = read_grid(Source(path))
    again = Grid.from_json(json.loads(json.dumps(grid.to_json(), allow_nan=False)))
    assert np.array_equal(again.affine, AFFINE)
    write_labels(tmp_path / "mask.nii", np.zeros(grid.shape, np.uint8), grid)
    assert np.array_equal(nib.load(tmp_path / "mask.nii").affine, AFFINE)


def test_a_grid_without_a_form_keeps_its_place_in_json(written) -> None:
    grid = read_grid(Source(written(qform_code=0, sform_code=0)))
    again = Grid.from_json(json.loads(json.dumps(grid.to_json())))
    assert grid.spacing_mm == (1.5, 2.0, 2.5)
    assert np.array_equal(again.affine, grid.affine)


def test_nifti_2_is_read_on_the_grid_that_is_written(tmp_path) -> None:
    affine = AFFINE * 1.0000000123
    affine[3, 3] = 1
    image = nib.Nifti2Image(ARRAY, affine)
    image.header.set_xyzt_units("mm")
    image.header["xyzt_units"] += 256
    nib.save(image, tmp_path / "scan.nii.gz")
    _, grid = read_volume(Source(tmp_path / "scan.nii.gz"))
    write_labels(tmp_path / "mask.nii.gz", np.zeros(grid.shape, np.uint8), grid)
    assert np.allclose(grid.affine, affine, rtol=1e-6)
    assert np.array_equal(nib.load(tmp_path / "mask.nii.gz").affine, grid.affine)


def test_nothing_is_printed_about_what_is_everyday(written, caplog, capfd) -> None:
    with caplog.at_level(logging.DEBUG):
        read_volume(Source(written(pixdim=[0, 2, 2, 2, 0, 0, 0, 0], intent_code=1001, regular=b"r")))
    assert caplog.text == ""
    assert capfd.readouterr() == ("", "")


def test_a_grid_needs_no_voxels(written) -> None:
    path = written(".nii.gz")
    whole = read_grid(Source(path))
    path.write_bytes(path.read_bytes()[:-300])
    assert np.array_equal(read_grid(Source(path)).affine, whole.affine)


def test_names_of_other_files_are_refused(tmp_path) -> None:
    for reader in (read_grid, lambda source: unpack([source])):
        with pytest.raises(DataError, match=r"\.nii\.gz"):
            reader(Source(tmp_path / "scan.img"))


def test_a_packed_file_without_gz_in_its_name_says_so(written) -> None:
    path = written(".nii")
    path.write_bytes(gzip.compress(path.read_bytes()))
    assert refused(path) == f"{path}: gzip, whatever its name says: add .gz to its name"


@pytest.mark.parametrize(
    ("moved", "told"),
    [
        (np.diag([-1.0, 1, 1, 1]), "qform and sform lie 80 mm apart, so ALS is a guess"),
        (np.array([[1, 0, 0, 3], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), "qform and sform lie 3 mm apart"),
        (np.array([[1, 0, 0, 2], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), ""),
    ],
)
def test_two_forms_that_disagree_leave_the_place_in_doubt(tmp_path, moved, told) -> None:
    image = nib.Nifti1Image(ARRAY, AFFINE)
    image.set_sform(AFFINE, 1)
    for code in (1, 0):
        image.set_qform(moved @ AFFINE, code)
        nib.save(image, tmp_path / "scan.nii")
        grid = read_grid(Source(tmp_path / "scan.nii"))
        assert grid.doubt.startswith(told if code else "") and bool(grid.doubt) == bool(told and code)
        assert not grid.unplaced and np.allclose(grid.affine, AFFINE)
    case = Case("a", "a", {Modality.T1: Source(tmp_path / "scan.nii")})
    image.set_qform(moved @ AFFINE, 1)
    nib.save(image, tmp_path / "scan.nii")
    warned = [finding for finding in examine(case, "", expect_labels=False).findings if "is a guess" in finding.what]
    assert [finding.severity for finding in warned] == ["warning"] * bool(told)


def test_capitals_in_the_name_do_not_matter(written, tmp_path) -> None:
    path = tmp_path / "SCAN.NII.GZ"
    written(".nii.gz").rename(path)
    assert np.array_equal(read_volume(Source(path))[0], ARRAY)
