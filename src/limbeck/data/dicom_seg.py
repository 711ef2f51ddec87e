"""A label map as a DICOM segmentation that refers to the series it was made from; through highdicom (`[dicom]`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limbeck.anatomy import Label
from limbeck.data.dicom import open_series
from limbeck.data.dicom_slice import Slice, pydicom, understanding
from limbeck.data.grid import Grid, by
from limbeck.data.source import shown
from limbeck.durable import replacing
from limbeck.errors import DataError, UsageError
from limbeck.version import __version__

# Far from the numbers that scanners give.
_SERIES_NUMBER = 900


@dataclass(frozen=True)
class Code:
    """A word of a published vocabulary."""

    value: str
    scheme: str
    meaning: str


CATEGORY = Code("49755003", "SCT", "Morphologically Abnormal Structure")
# SNOMED CT and NCI Thesaurus as in DICOM's context group 7159, lesion segmentation types. None of them has a word for
# what surgery leaves, hence a scheme of our own, which DICOM marks by 99.
CODES: MappingProxyType[Label, Code] = MappingProxyType(
    {
        Label.NECROTIC_CORE: Code("6574001", "SCT", "Necrosis"),
        Label.OEDEMA: Code("79654002", "SCT", "Edema"),
        Label.ENHANCING: Code("C113842", "NCIt", "Enhancing Lesion"),
        Label.RESECTION_CAVITY: Code("RESECTION_CAVITY", "99LIMBECK", "Resection cavity"),
    }
)


def write(path: Path, labels: NDArray[Any], series: Path, grid: Grid | None = None) -> None:
    """Write a label map durably as DICOM-SEG, with a segment for each label that occurs.

    A map without any gets the three tumour labels as empty segments, since DICOM has no segmentation without one.

    Args:
        path: the file, whose name ends in .dcm.
        labels: `[X,Y,Z]` in the codes of `anatomy.Label`, on the grid of the series as `volume.read_volume` gives it.
        series: folder of the series to refer to; patient and study are taken from it.
        grid: where the labels lie, if that is to be compared with the series.

    Raises:
        UsageError: highdicom is not installed, the name has another ending, or the labels lie on another grid.
        DataError: the folder holds no series that is a volume, or its files lack what a reference needs.
        ResourceError: the disk is full.
    """
    if path.suffix.lower() != ".dcm":
        raise UsageError(f"{shown(path)}: expected a name that ends in .dcm for a DICOM segmentation")
    pydicom(path)
    slices, own = open_series(series)
    difference = own.difference(grid) if grid is not None else None
    if labels.shape != own.shape:
        difference = f"shape {by(labels.shape)} instead of {by(own.shape)}"
    if difference is not None:
        raise UsageError(f"{shown(path)}: {difference}: expected labels on the grid of {shown(series)}")
    with understanding(series):
        segmentation = _segmentation(path, labels, slices, own.spacing_mm[2])
    with replacing(path) as temporary:
        segmentation.save_as(temporary)


def _segmentation(path: Path, labels: NDArray[Any], slices: Sequence[Slice], step_mm: float) -> Any:
    highdicom = _highdicom(path)
    sources, order = _sources(slices, step_mm)
    occurring = [label for label in CODES if (labels == int(label)).any()]
    described = occurring or [Label.NECROTIC_CORE, Label.OEDEMA, Label.ENHANCING]
    numbers = np.zeros(len(Label), np.uint8)
    numbers[described] = range(1, len(described) + 1)
    # Frames in the order of the sources, rows first.
    planes = np.ascontiguousarray(numbers[labels].transpose(2, 1, 0)[order])
    return highdicom.seg.Segmentation(
        source_images=sources,
        pixel_array=planes,
        segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[_segment(highdicom, number, label) for number, label in enumerate(described, start=1)],
        series_instance_uid=highdicom.UID(),
        series_number=_SERIES_NUMBER,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="The Limbeck developers",
        manufacturer_model_name="limbeck",
        software_versions=__version__,
        device_serial_number="none",
        content_label="GLIOMA",
        content_description="Glioma; research software, not for clinical use",
        series_description="Glioma segmentation (limbeck)",
    )


def _sources(slices: Sequence[Slice], step_mm: float) -> tuple[list[Any], list[int]]:
    """The headers to refer to, and which slice each of their frames is."""
    files = list(dict.fromkeys(part.path for part in slices))
    if len(files) > 1 and any(part.frame is not None for part in slices):
        raise DataError(
            f"{shown(files[0])}: one of {len(files)} files with many slices each: expected one such file, or a file a "
            "slice, to refer to"
        )
    read = pydicom(files[0]).dcmread
    order = sorted(range(len(slices)), key=lambda number: slices[number].frame or 0)
    headers = [read(file, stop_before_pixels=True) for file in files]
    for header in headers:
        # Scans may leave it out, and highdicom insists.
        if slices[0].frame is None and not header.get("SliceThickness"):
            header.SliceThickness = f"{step_mm:.9g}"
    return headers, order


def _segment(highdicom: Any, number: int, label: Label) -> Any:
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name="limbeck",
        family=_coded(highdicom, Code("123110", "DCM", "Artificial Intelligence")),
        version=__version__,
    )
    return highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=label.title,
        segmented_property_category=_coded(highdicom, CATEGORY),
        segmented_property_type=_coded(highdicom, CODES[label]),
        algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm,
    )


def _coded(highdicom: Any, code: Code) -> Any:
    return highdicom.sr.CodedConcept(value=code.value, scheme_designator=code.scheme, meaning=code.meaning)


def _highdicom(path: Path) -> Any:
    try:
        import highdicom  # noqa: PLC0415 - an extra
        import highdicom.seg  # noqa: PLC0415
        import highdicom.sr  # noqa: PLC0415
    except ImportError as error:
        raise UsageError(f"{shown(path)}: needs highdicom: pip install 'limbeck[dicom]'") from error
    return highdicom
