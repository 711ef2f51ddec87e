"""The layouts of public data sets: how a patient's files are named and coded there, and what describes the folder.

A layout is a class with the four methods of `Layout`, and an entry in `LAYOUTS`.
"""

from __future__ import annotations

import csv
import io
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from limbeck.anatomy import LABEL_SCHEMES, Label, Modality
from limbeck.durable import write_json, write_text
from limbeck.phantom.patient import Patient

_DESCRIPTION = "Synthetic glioma patients made by Limbeck; no real person is shown"
_EARLY = MappingProxyType({modality: modality.role for modality in Modality})
_LATER = MappingProxyType({Modality.FLAIR: "t2f", Modality.T1: "t1n", Modality.T1CE: "t1c", Modality.T2: "t2w"})


class Layout(Protocol):
    """How patients lie in a folder."""

    @property
    def partial(self) -> bool:
        """Whether a patient may lack a sequence."""

    @property
    def scheme(self) -> str:
        """Label codes: a name in `anatomy.LABEL_SCHEMES`."""

    def name(self, number: int) -> str:
        """The case's name of a patient, counted from 1."""

    def whole(self, out: Path, name: str, present: Sequence[Modality]) -> bool:
        """Whether a case is there with these sequences."""

    def write(self, out: Path, name: str, patient: Patient) -> None:
        """Write a case."""

    def describe(self, out: Path) -> None:
        """Write what describes the cases that are there, if the layout has such files."""


@dataclass(frozen=True)
class Brats:
    """BraTS: a folder for each case.

    Attributes:
        pattern: of names.
        roles: what stands for a sequence in a file's name.
        scheme: label codes.
        separator: between the case's name and the role.
        graded: whether cases lie in HGG and LGG.
        mapped: whether `name_mapping.csv` gives the grades.
    """

    pattern: str
    roles: Mapping[Modality, str]
    scheme: str
    separator: str = "_"
    graded: bool = False
    mapped: bool = False
    partial: bool = True

    def name(self, number: int) -> str:
        """The case's name."""
        return self.pattern.format(number)

    def whole(self, out: Path, name: str, present: Sequence[Modality]) -> bool:
        """Whether the case's folder is there, in whichever grade."""
        return any((out / group / name).is_dir() for group in (("HGG", "LGG") if self.graded else ("",)))

    def write(self, out: Path, name: str, patient: Patient) -> None:
        """Write the folder."""
        stem = f"{name}{self.separator}"
        images = {f"{stem}{self.roles[modality]}.nii.gz": whole_numbers(image) for modality, image in _images(patient)}
        files: dict[str, NDArray[Any]] = {**images, f"{stem}seg.nii.gz": coded(patient.labels, self.scheme)}
        _write_folder(out / (_grade(patient.labels, Label.ENHANCING) if self.graded else ""), name, files, patient)

    def describe(self, out: Path) -> None:
        """Write `name_mapping.csv`: grades, and the names of earlier years, of which there are none."""
        if not self.mapped:
            return
        enhancing = next(code for code, label in LABEL_SCHEMES[self.scheme].items() if label is Label.ENHANCING)
        earlier = ("BraTS_2017_subject_ID", "BraTS_2018_subject_ID", "TCGA_TCIA_subject_ID", "BraTS_2019_subject_ID")
        rows: list[Sequence[str]] = [("Grade", *earlier, "BraTS_2020_subject_ID")]
        for path in sorted(out.glob(f"*/*{self.separator}seg.nii.gz")):
            image: Any = nib.load(path)
            rows.append((_grade(np.asarray(image.dataobj), enhancing), *["NA"] * len(earlier), path.parent.name))
        _write_csv(out / "name_mapping.csv", rows)


@dataclass(frozen=True)
class Msd:
    """Medical Segmentation Decathlon, Task01: one 4-D file for each case, in MSD's order of channels.

    The arrays lie turned about, as an affine with positive axes asks.
    """

    scheme: str = "msd"
    partial: bool = False

    def name(self, number: int) -> str:
        """The case's name."""
        return f"BRATS_{number:03d}"

    def whole(self, out: Path, name: str, present: Sequence[Modality]) -> bool:
        """Whether both files are there."""
        return all((out / folder / f"{name}.nii.gz").is_file() for folder in ("labelsTr", "imagesTr"))

    def write(self, out: Path, name: str, patient: Patient) -> None:
        """Write labels and images."""
        affine = np.diag([patient.spacing_mm] * 3 + [1.0])
        stack = np.stack([whole_numbers(patient.images[modality]) for modality in Modality], axis=-1)
        for folder, array in (("labelsTr", coded(patient.labels, self.scheme)), ("imagesTr", stack)):
            _write_file(out / folder / f"{name}.nii.gz", array[::-1, ::-1], affine)

    def describe(self, out: Path) -> None:
        """Write `dataset.json`."""
        names = sorted(path.name for path in _listed(out / "imagesTr"))
        write_json(
            out / "dataset.json",
            {
                "name": "BRATS",
                "description": _DESCRIPTION,
                "tensorImageSize": "4D",
                "modality": {"0": "FLAIR", "1": "T1w", "2": "T1gd", "3": "T2w"},
                "labels": {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"},
                "numTraining": len(names),
                "numTest": 0,
                "training": [{"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"} for name in names],
                "test": [],
            },
        )


@dataclass(frozen=True)
class NnUnet:
    """nnU-Net's raw data, version 2: a file for each channel of a case, and oedema coded 1."""

    scheme: str = "msd"
    partial: bool = True

    def name(self, number: int) -> str:
        """The case's name."""
        return f"phantom_{number:03d}"

    def whole(self, out: Path, name: str, present: Sequence[Modality]) -> bool:
        """Whether labels and all channels are there."""
        images = [out / "imagesTr" / f"{name}_{modality:04d}.nii.gz" for modality in present]
        return all(path.is_file() for path in (out / "labelsTr" / f"{name}.nii.gz", *images))

    def write(self, out: Path, name: str, patient: Patient) -> None:
        """Write labels and channels."""
        affine = _affine(patient)
        _write_file(out / "labelsTr" / f"{name}.nii.gz", coded(patient.labels, self.scheme), affine)
        for modality, image in _images(patient):
            _write_file(out / "imagesTr" / f"{name}_{modality:04d}.nii.gz", whole_numbers(image), affine)

    def describe(self, out: Path) -> None:
        """Write `dataset.json`."""
        write_json(
            out / "dataset.json",
            {
                "channel_names": {str(int(modality)): modality.title for modality in Modality},
                "labels": {"background": 0, "edema": 1, "necrosis": 2, "enhancing tumor": 3},
                "numTraining": len(_listed(out / "labelsTr")),
                "file_ending": ".nii.gz",
                "name": "Phantoms",
                "description": _DESCRIPTION,
            },
        )


@dataclass(frozen=True)
class Bids:
    """Brain Imaging Data Structure: raw images by subject, masks among the derivatives, coded as in BraTS 2023."""

    scheme: str = "brats2023"
    partial: bool = True

    def name(self, number: int) -> str:
        """The subject's name."""
        return f"sub-{number:03d}"

    def whole(self, out: Path, name: str, present: Sequence[Modality]) -> bool:
        """Whether images and masks are there."""
        return (out / name).is_dir() and (out / _MASKS / name).is_dir()

    def write(self, out: Path, name: str, patient: Patient) -> None:
        """Write masks and images."""
        masks = {f"anat/{name}_dseg.nii.gz": coded(patient.labels, self.scheme)}
        images = {f"anat/{name}_{_BIDS[modality]}.nii.gz": whole_numbers(image) for modality, image in _images(patient)}
        # Masks whose writer was killed before the images stay as they are: they would be the same.
        if not (out / _MASKS / name).is_dir():
            _write_folder(out / _MASKS, name, masks, patient)
        _write_folder(out, name, images, patient)

    def describe(self, out: Path) -> None:
        """Write what BIDS asks for: a description of the data and of the masks, and the meaning of their codes."""
        common = {"Name": _DESCRIPTION, "BIDSVersion": "1.9.0"}
        write_json(out / "dataset_description.json", {**common, "DatasetType": "raw"})
        made = {"DatasetType": "derivative", "GeneratedBy": [{"Name": "Limbeck"}]}
        write_json(out / _MASKS / "dataset_description.json", {**common, **made})
        meanings = [f"{code}\t{label.name.lower()}" for code, label in LABEL_SCHEMES[self.scheme].items()]
        write_text(out / ".bidsignore", "phantoms.json\n")
        write_text(out / _MASKS / "dseg.tsv", "\n".join(["index\tname", *meanings, ""]))


_MASKS = "derivatives/manual_masks"
_BIDS = MappingProxyType(
    {Modality.FLAIR: "FLAIR", Modality.T1: "T1w", Modality.T1CE: "ce-gadolinium_T1w", Modality.T2: "T2w"}
)


@dataclass(frozen=True)
class Table:
    """Any files, named by a table: `cases.csv` has a column for each role, and paths from the table's own folder."""

    scheme: str = "brats2018"
    partial: bool = True

    def name(self, number: int) -> str:
        """The case's name."""
        return f"P{number:03d}"

    def whole(self, out: Path, name: str, present: Sequence[Modality]) -> bool:
        """Whether the case's folder is there."""
        return (out / "scans" / name).is_dir()

    def write(self, out: Path, name: str, patient: Patient) -> None:
        """Write the case's folder."""
        images = {f"{modality.role}.nii.gz": whole_numbers(image) for modality, image in _images(patient)}
        files: dict[str, NDArray[Any]] = {**images, "seg.nii.gz": coded(patient.labels, self.scheme)}
        _write_folder(out / "scans", name, files, patient)

    def describe(self, out: Path) -> None:
        """Write `cases.csv`; a sequence that is missing has an empty cell."""
        roles = (*(modality.role for modality in Modality), "seg")
        rows: list[Sequence[str]] = [("case", "patient", *roles)]
        for folder in sorted(path for path in (out / "scans").iterdir() if not path.name.startswith(".")):
            paths = [folder / f"{role}.nii.gz" for role in roles]
            cells = [path.relative_to(out).as_posix() if path.is_file() else "" for path in paths]
            rows.append((folder.name, folder.name, *cells))
        _write_csv(out / "cases.csv", rows)


LAYOUTS: MappingProxyType[str, Layout] = MappingProxyType(
    {
        "brats2018": Brats("Brats18_PH_{}_1", _EARLY, "brats2018", graded=True),
        "brats2020": Brats("BraTS20_Training_{:03d}", _EARLY, "brats2018", mapped=True),
        "brats2021": Brats("BraTS2021_{:05d}", _EARLY, "brats2018"),
        "brats2023": Brats("BraTS-GLI-{:05d}-000", _LATER, "brats2023", separator="-"),
        # After treatment: the one scheme with a code for the cavities of the share of patients who were operated.
        "brats2024": Brats("BraTS-GLI-{:05d}-100", _LATER, "brats2024", separator="-"),
        "msd": Msd(),
        "nnunet": NnUnet(),
        "bids": Bids(),
        "table": Table(),
    }
)


def has_cavities(layout: str) -> bool:
    """Whether a layout's labels have a code for a resection cavity."""
    return Label.RESECTION_CAVITY in LABEL_SCHEMES[LAYOUTS[layout].scheme].values()


def whole_numbers(image: NDArray[Any]) -> NDArray[np.int16]:
    """Intensities as scanners' files hold them."""
    return np.asarray(np.clip(np.rint(image), 0, 32767), dtype=np.int16)


def coded(labels: NDArray[Any], scheme: str) -> NDArray[np.uint8]:
    """Labels of `anatomy.Label` in a scheme's codes."""
    table = np.zeros(max(Label) + 1, np.uint8)
    for code, label in LABEL_SCHEMES[scheme].items():
        table[label] = code
    return np.asarray(table[labels])


def _images(patient: Patient) -> list[tuple[Modality, NDArray[Any]]]:
    return [(modality, patient.images[modality]) for modality in Modality if modality in patient.images]


def _grade(labels: NDArray[Any], enhancing: int) -> str:
    return "HGG" if (labels == enhancing).any() else "LGG"


def _affine(patient: Patient) -> NDArray[np.float64]:
    """BraTS's: to the patient's left, backwards, upwards."""
    affine = np.diag([-patient.spacing_mm, -patient.spacing_mm, patient.spacing_mm, 1.0])
    affine[1, 3] = (patient.labels.shape[1] - 1) * patient.spacing_mm
    return affine


def _listed(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*.nii.gz") if not path.name.startswith(".")]


def _write_folder(parent: Path, name: str, files: Mapping[str, NDArray[Any]], patient: Patient) -> None:
    """A folder of files: whole or absent."""
    part = parent / f".{name}.part"
    shutil.rmtree(part, ignore_errors=True)
    for path, array in files.items():
        (part / path).parent.mkdir(parents=True, exist_ok=True)
        _save(part / path, array, _affine(patient))
    part.replace(parent / name)


def _write_file(path: Path, array: NDArray[Any], affine: NDArray[Any]) -> None:
    """A file: whole or absent."""
    path.parent.mkdir(exist_ok=True)
    part = path.with_name(f".part.{path.name}")
    _save(part, array, affine)
    part.replace(path)


def _write_csv(path: Path, rows: Sequence[Sequence[str]]) -> None:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(rows)
    write_text(path, stream.getvalue())


def _save(path: Path, array: NDArray[Any], affine: NDArray[Any]) -> None:
    image: Any = nib.Nifti1Image(np.ascontiguousarray(array), affine)  # type: ignore[no-untyped-call]
    image.set_qform(affine, 1)
    image.set_sform(affine, 1)
    image.header.set_xyzt_units("mm", "sec")
    nib.save(image, path)
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
