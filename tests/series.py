"""Small DICOM series, made of arrays by pydicom alone."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def write_series(folder, array, affine, title="T1 post", number=5, slope=None, prefix="IM", series=None):
    """`[X,Y,Z]` on a RAS+ affine as one file a slice, in Z's order; the paths."""
    lps = LPS @ affine
    folder.mkdir(parents=True, exist_ok=True)
    series = series or generate_uid()
    frame_of_reference, study = generate_uid(), generate_uid()
    paths = []
    for z in range(array.shape[2]):
        data = _patient(study, series, frame_of_reference, title, number)
        data.SOPClassUID, data.SOPInstanceUID = MRImageStorage, generate_uid()
        data.InstanceNumber = z + 1
        data.ImagePositionPatient = _decimals(lps[:3] @ [0, 0, z, 1])
        data.ImageOrientationPatient = _orientation(lps)
        data.PixelSpacing = _spacing(lps)
        if slope is not None:
            data.RescaleSlope, data.RescaleIntercept = slope
        _pixels(data, array[:, :, z].T)
        paths.append(_save(data, folder / f"{prefix}{z:04d}.dcm"))
    return paths


def write_enhanced(path, array, affine, slope=None):
    """`[X,Y,Z]` on a RAS+ affine as one multi-frame file, its frames from last to first."""
    lps = LPS @ affine
    path.parent.mkdir(parents=True, exist_ok=True)
    data = _patient(generate_uid(), generate_uid(), generate_uid(), "T1 post", 5)
    data.SOPClassUID, data.SOPInstanceUID = EnhancedMRImageStorage, generate_uid()
    shared = Dataset()
    shared.PlaneOrientationSequence = [_item(ImageOrientationPatient=_orientation(lps))]
    shared.PixelMeasuresSequence = [_item(PixelSpacing=_spacing(lps), SliceThickness="1")]
    if slope is not None:
        shared.PixelValueTransformationSequence = [_item(RescaleSlope=str(slope[0]), RescaleIntercept=str(slope[1]))]
    data.SharedFunctionalGroupsSequence = [shared]
    frames = []
    order = range(array.shape[2])[::-1]
    for z in order:
        place = _item(ImagePositionPatient=_decimals(lps[:3] @ [0, 0, z, 1]))
        content = _item(StackID="1", InStackPositionNumber=z + 1)
        frames.append(_item(PlanePositionSequence=[place], FrameContentSequence=[content]))
    data.PerFrameFunctionalGroupsSequence = frames
    _pixels(data, np.stack([array[:, :, z].T for z in order]))
    data.NumberOfFrames = len(frames)
    return _save(data, path)


def _patient(study, series, frame_of_reference, title, number):
    data = Dataset()
    data.PatientName, data.PatientID = "Phantom^Anna", "P1"
    data.PatientBirthDate, data.PatientSex = "", ""
    data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = study, series, frame_of_reference
    data.StudyID, data.StudyDate, data.StudyTime, data.AccessionNumber = "", "", "", ""
    data.ReferringPhysicianName, data.PositionReferenceIndicator = "", ""
    data.Modality, data.SeriesNumber, data.SeriesDescription = "MR", number, title
    data.Manufacturer, data.InstanceNumber = "Limbeck", 1
    return data


def _pixels(data, planes):
    data.Rows, data.Columns = planes.shape[-2:]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = planes.dtype.itemsize * 8
    data.HighBit = data.BitsStored - 1
    data.PixelRepresentation = int(planes.dtype.kind == "i")
    data.PixelData = np.ascontiguousarray(planes).tobytes()
    data["PixelData"].VR = "OW"


def _save(data, path):
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.save_as(path, enforce_file_format=True)
    return path


def _item(**elements):
    item = Dataset()
    for name, value in elements.items():
        setattr(item, name, value)
    return item


def _decimals(values):
    # A DICOM decimal has at most 16 characters.
    return [f"{value:.9g}" for value in values]


def _orientation(lps):
    axes = lps[:3, :2] / np.linalg.norm(lps[:3, :2], axis=0)
    return _decimals(axes.T.ravel())


def _spacing(lps):
    between_columns, between_rows = np.linalg.norm(lps[:3, :2], axis=0)
    return _decimals([between_rows, between_columns])
