"""A DICOM segmentation read back by highdicom has the same labels at the same places, with their codes."""

import sys

import highdicom
import numpy as np
import pytest
from pydicom import dcmread
from series import write_enhanced, write_series

from limbeck.anatomy import Label
from limbeck.data.dicom_seg import write
from limbeck.data.grid import Grid
from limbeck.data.source import Source
from limbeck.data.volume import read_grid, read_volume
from limbeck.errors import DataError, ResourceError, UsageError
from limbeck.version import __version__

TURN = np.array([[0.8, -0.6, 0, 0], [0.48, 0.64, -0.6, 0], [0.36, 0.48, 0.8, 0], [0, 0, 0, 1]])
AFFINES = {
    "axial": np.diag([-1.0, -1.0, 1.0, 1.0]),
    "downward": np.diag([-1.0, -1.0, -3.0, 1.0]),
    "sagittal": np.array([[0, 0, 2.5, -80], [-1.25, 0, 0, 100], [0, -1, 0, 60], [0, 0, 0, 1]]),
    "oblique": TURN @ np.diag([1.0, 1.5, 3.0, 1.0]) + np.array([[0, 0, 0, 11], [0, 0, 0, -7], [0, 0, 0, 3], [0] * 4]),
}
RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def places(mask, affine):
    """Millimetres of every voxel of a mask, in an order that does not depend on how axes run."""
    points = np.argwhere(mask) @ affine[:3, :3].T + affine[:3, 3]
    return points[np.lexsort(np.round(points, 3).T)]


@pytest.fixture
def labels(phantoms):
    return phantoms.head()[1]


@pytest.fixture
def folder(tmp_path, phantoms):
    write_series(tmp_path / "series", phantoms.head()[0][0], AFFINES["axial"])
    return tmp_path / "series"


@pytest.mark.parametrize("name", AFFINES)
@pytest.mark.parametrize("kind", ["classic", "enhanced"])
def test_the_same_labels_at_the_same_places(tmp_path, phantoms, name, kind):
    # The labels go through the scan's own reading, as a prediction does: voxels of a value become a label.
    labels = np.zeros_like(phantoms.head()[1])
    marked = phantoms.head()[1].astype(np.int16) * 100 + 7
    if kind == "classic":
        write_series(tmp_path / "series", marked, AFFINES[name])
    else:
        write_enhanced(tmp_path / "series" / "one.dcm", marked, AFFINES[name])
    voxels, grid = read_volume(Source(tmp_path / "series"))
    labels = ((voxels - 7) / 100).astype(np.uint8)
    write(tmp_path / "mask.dcm", labels, tmp_path / "series", grid)
    read = highdicom.seg.segread(tmp_path / "mask.dcm")
    volume = read.get_volume(combine_segments=True, dtype=np.uint8)
    for number, label in enumerate((Label.NECROTIC_CORE, Label.OEDEMA, Label.ENHANCING), start=1):
        expected = places(phantoms.head()[1] == label, AFFINES[name])
        assert len(expected) > 10
        assert np.allclose(places(volume.array == number, RAS @ volume.affine), expected, atol=1e-3)


def test_segments_say_what_they_are_and_who_made_them(tmp_path, folder, labels):
    labels[0, 0, 0] = Label.RESECTION_CAVITY
    labels[labels == Label.OEDEMA] = 0
    write(tmp_path / "mask.dcm", labels, folder)
    read = highdicom.seg.segread(tmp_path / "mask.dcm")
    segments = [read.get_segment_description(number) for number in read.segment_numbers]
    assert [segment.segment_label for segment in segments] == ["necrotic core", "enhancing", "resection cavity"]
    kinds = [
        (segment.segmented_property_type.value, segment.segmented_property_type.scheme_designator)
        for segment in segments
    ]
    assert kinds == [("6574001", "SCT"), ("C113842", "NCIt"), ("RESECTION_CAVITY", "99LIMBECK")]
    for segment in segments:
        assert segment.segmented_property_category.value == "49755003"
        assert segment.algorithm_type.value == "AUTOMATIC"
        assert segment.algorithm_identification.name == "limbeck"
        assert segment.algorithm_identification.version == __version__


def test_it_refers_to_the_series_and_its_patient(tmp_path, folder, labels):
    write(tmp_path / "mask.dcm", labels, folder)
    read = highdicom.seg.segread(tmp_path / "mask.dcm")
    scan = [dcmread(path) for path in sorted(folder.iterdir())]
    assert read.PatientID == scan[0].PatientID
    assert read.StudyInstanceUID == scan[0].StudyInstanceUID
    assert read.SeriesInstanceUID != scan[0].SeriesInstanceUID
    assert read.FrameOfReferenceUID == scan[0].FrameOfReferenceUID
    referenced = read.ReferencedSeriesSequence[0]
    assert referenced.SeriesInstanceUID == scan[0].SeriesInstanceUID
    assert {item.ReferencedSOPInstanceUID for item in referenced.ReferencedInstanceSequence} == {
        data.SOPInstanceUID for data in scan
    }


def test_a_map_without_tumour_has_empty_segments(tmp_path, folder, labels):
    write(tmp_path / "mask.dcm", np.zeros_like(labels), folder)
    read = highdicom.seg.segread(tmp_path / "mask.dcm")
    assert read.number_of_segments == 3
    assert not read.pixel_array.any()


def test_a_mask_in_the_folder_of_its_series_does_not_disturb_it(folder, labels):
    before = read_grid(Source(folder))
    write(folder / "mask.dcm", labels, folder)
    assert before.difference(read_grid(Source(folder))) is None


def test_labels_on_another_grid_are_refused(tmp_path, folder, labels):
    grid = read_grid(Source(folder))
    moved = grid.affine.copy()
    moved[0, 3] += 2
    with pytest.raises(UsageError, match="affine off by 2"):
        write(tmp_path / "mask.dcm", labels, folder, Grid.of(grid.shape, moved))
    with pytest.raises(UsageError, match="shape 24 x 28 x 19"):
        write(tmp_path / "mask.dcm", labels[:, :, 1:], folder)
    with pytest.raises(UsageError, match=r"\.dcm"):
        write(tmp_path / "mask.seg", labels, folder)
    assert list(tmp_path.iterdir()) == [folder]


def test_a_series_without_a_frame_of_reference_cannot_be_referred_to(tmp_path, folder, labels):
    for path in folder.iterdir():
        data = dcmread(path)
        del data.FrameOfReferenceUID
        data.save_as(path)
    with pytest.raises(DataError) as caught:
        write(tmp_path / "mask.dcm", labels, folder)
    assert "\n" not in str(caught.value)
    assert "FrameOfReferenceUID" in str(caught.value).replace(" ", "")


def test_a_full_disk_leaves_the_old_mask(tmp_path, folder, labels, monkeypatch):
    (tmp_path / "mask.dcm").write_bytes(b"old")

    def full(self, *arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pydicom.dataset.Dataset.save_as", full)
    with pytest.raises(ResourceError):
        write(tmp_path / "mask.dcm", labels, folder)
    assert (tmp_path / "mask.dcm").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mask.dcm", "series"]


def test_without_highdicom_the_extra_is_named(tmp_path, folder, labels, monkeypatch):
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(UsageError) as caught:
        write(tmp_path / "mask.dcm", labels, folder)
    assert str(caught.value) == f"{tmp_path / 'mask.dcm'}: needs highdicom: pip install 'limbeck[dicom]'"
