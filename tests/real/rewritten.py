"""One patient written in many ways that lose nothing: whatever the way, the same mask must come out.

Headers, voxel types and orders are made by nibabel and SimpleITK, and so is the way back: nothing of Limbeck's takes
part in what it is held against.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import permutations, product
from pathlib import Path
from typing import Any, TypeAlias

import nibabel as nib
import numpy as np
import SimpleITK
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from numpy.typing import NDArray
from scans import Patient

from limbeck.anatomy import Modality
from limbeck.cli import main

_LATER = {Modality.FLAIR: "t2f", Modality.T1: "t1n", Modality.T1CE: "t1c", Modality.T2: "t2w"}
_WORDS = {Modality.FLAIR: "FLAIR", Modality.T1: "T1w", Modality.T1CE: "ce-gadolinium_T1w", Modality.T2: "T2w"}
_ALONG = {"x": (1, 0, 0), "y": (0, 1, 0), "z": (0, 0, 1), "a diagonal": (1, -1, 1)}

# Writes a patient into an empty folder; gives the words that tell `limbeck predict` where it lies.
Write: TypeAlias = Callable[[Patient, Path], list[str]]
Change: TypeAlias = Callable[[Any], Any]


@dataclass(frozen=True)
class Way:
    """A way of writing a patient.

    Attributes:
        name: in words.
        group: ways that ask for the same promise.
        write: does it.
        turned: `[4,4]`, how its header turns the patient in the scanner's space.
    """

    name: str
    group: str
    write: Write
    turned: NDArray[np.float64]

    def predicted(self, model: Path, patient: Patient, folder: Path) -> NDArray[Any]:
        """What `limbeck predict` makes of the patient written in this way, as `mask` gives it."""
        (folder / "scans").mkdir(parents=True)
        words = self.write(patient, folder / "scans")
        out = folder / "mask.nii.gz"
        code = main(["predict", str(model), *words, "-o", str(out)])
        assert code == 0, f"{self.name}: exit code {code}"
        return self.mask(out, patient)

    def mask(self, path: Path, patient: Patient) -> NDArray[Any]:
        """A mask of this way's scan in the order of the patient's own voxels, `[X,Y,Z]`.

        Raises:
            AssertionError: its header does not put it where the scan lies.
        """
        image = nib.load(path)
        straight = nib.Nifti1Image(np.asanyarray(image.dataobj), np.linalg.inv(self.turned) @ image.affine)
        step = ornt_transform(io_orientation(straight.affine), io_orientation(patient.affine))
        back = straight.as_reoriented(step)
        assert np.allclose(back.affine, patient.affine, atol=1e-3), self.name
        return np.asanyarray(back.dataobj)


def straight() -> Way:
    """As it is: int16, uncompressed, both forms."""
    return _way("straight", "straight", _files(lambda image: image))


def ways() -> Iterator[Way]:
    """All of them."""
    yield from _orders()
    yield from _codings()
    yield from _headers()
    for ending in (".mha", ".nrrd"):
        yield _way(ending, "formats", _itk(ending))
    yield from _layouts()


def _way(name: str, group: str, write: Write, turned: NDArray[np.float64] | None = None) -> Way:
    return Way(name, group, write, np.eye(4) if turned is None else turned)


def _files(change: Change, ending: str = ".nii") -> Write:
    """A NIfTI file for each sequence, each given over by its role."""

    def write(patient: Patient, folder: Path) -> list[str]:
        words = []
        for modality, array in patient.images.items():
            path = folder / f"scan {int(modality)}{ending}"
            nib.save(change(_image(array, patient.affine)), path)
            words += [f"--{modality.role}", str(path)]
        return words

    return write


def _image(array: NDArray[Any], affine: NDArray[Any]) -> Any:
    image = nib.Nifti1Image(array, affine)
    image.set_qform(affine, 1)
    image.set_sform(affine, 1)
    return image


def _orders() -> Iterator[Way]:
    """Eight mirrored and five permuted storage orders; the affine says so."""
    for signs in product((1, -1), repeat=3):
        ornt = np.array([[axis, sign] for axis, sign in enumerate(signs)])
        name = "".join("-" if sign < 0 else "+" for sign in signs)
        yield _way(f"axes {name}", "storage order", _files(lambda image, o=ornt: image.as_reoriented(o)))
    for order in list(permutations(range(3)))[1:]:
        ornt = np.array([[axis, 1] for axis in order])
        name = "".join("xyz"[axis] for axis in order)
        yield _way(f"axes {name}", "storage order", _files(lambda image, o=ornt: image.as_reoriented(o)))
    ornt = axcodes2ornt(("S", "R", "P"))
    yield _way("axes mirrored and permuted", "storage order", _files(lambda image: image.as_reoriented(ornt)))


def _codings() -> Iterator[Way]:
    """Other types, byte orders, scalings, compression and a later header."""
    yield _way(".nii.gz", "coding", _files(lambda image: image, ".nii.gz"))
    for kind in ("uint16", "int32", "float32", "float64"):
        yield _way(kind, "coding", _files(lambda image, kind=kind: _typed(image, np.dtype(kind))))
    yield _way("big-endian", "coding", _files(_swapped))
    yield _way("scl_slope of a half", "coding", _files(lambda image: _scaled(image, 0.5, 0)))
    yield _way("scl_slope and scl_inter", "coding", _files(lambda image: _scaled(image, 0.25, -500)))
    yield _way("NIfTI-2", "coding", _files(lambda image: nib.Nifti2Image(np.asanyarray(image.dataobj), image.affine)))


def _typed(image: Any, kind: np.dtype[Any]) -> Any:
    return _image(np.asanyarray(image.dataobj).astype(kind), image.affine)


def _swapped(image: Any) -> Any:
    header = image.header.as_byteswapped(">")
    assert header.endianness == ">"
    return nib.Nifti1Image(np.asanyarray(image.dataobj), None, header)


def _scaled(image: Any, slope: float, inter: float) -> Any:
    """Whole numbers of which a scaling by a power of two makes the values again, without rounding."""
    stored = (np.asanyarray(image.dataobj).astype(np.float64) - inter) / slope
    raw = stored.astype(np.uint16)
    assert np.array_equal(raw, stored)
    scaled = _image(raw, image.affine)
    scaled.header.set_slope_inter(slope, inter)
    return scaled


def _headers() -> Iterator[Way]:
    """One form alone, and headers that turn the head by up to 40 degrees."""
    yield _way("qform alone", "header", _files(lambda image: _forms(image, image.affine, "q")))
    yield _way("sform alone", "header", _files(lambda image: _forms(image, image.affine, "s")))
    for (name, axis), degrees, form in zip(_ALONG.items(), (40, -30, 10, 40), "qsqs", strict=True):
        turn = rotation(axis, degrees)
        write = _files(lambda image, turn=turn, form=form: _forms(image, turn @ image.affine, form))
        yield _way(f"header turned by {degrees} degrees about {name}", "header", write, turn)


def rotation(axis: tuple[float, ...], degrees: float) -> NDArray[np.float64]:
    """`[4,4]`, a turn about an axis through the origin (Rodrigues)."""
    x, y, z = np.asarray(axis) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.deg2rad(degrees)
    result = np.eye(4)
    result[:3, :3] += np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return result


def _forms(image: Any, affine: NDArray[Any], form: str) -> Any:
    """The same voxels under an affine that stands in one form alone."""
    result = nib.Nifti1Image(np.asanyarray(image.dataobj), affine)
    result.set_qform(affine, int(form == "q"))
    result.set_sform(affine, int(form == "s"))
    return result


def _itk(ending: str) -> Write:
    """Written by SimpleITK from a NIfTI file that it read itself."""

    def write(patient: Patient, folder: Path) -> list[str]:
        words = []
        for modality, array in patient.images.items():
            plain, path = folder / f"plain {int(modality)}.nii", folder / f"scan {int(modality)}{ending}"
            nib.save(_image(array, patient.affine), plain)
            image = SimpleITK.ReadImage(plain)
            # Fields of NIfTI's header, of which the other formats have none.
            for key in image.GetMetaDataKeys():
                image.EraseMetaData(key)
            SimpleITK.WriteImage(image, path)
            words += [f"--{modality.role}", str(path)]
        return words

    return write


def _layouts() -> Iterator[Way]:
    """A folder in every data set's names, with this patient alone in it."""
    early = {modality: modality.role for modality in Modality}
    for year, pattern, names in (
        ("2018", "HGG/Brats18_TCIA01_147_1/Brats18_TCIA01_147_1_{}.nii.gz", early),
        ("2019", "LGG/BraTS19_TCIA10_103_1/BraTS19_TCIA10_103_1_{}.nii.gz", early),
        ("2020", "BraTS20_Training_001/BraTS20_Training_001_{}.nii.gz", early),
        ("2021", "BraTS2021_00001/BraTS2021_00001_{}.nii.gz", early),
        ("2023", "BraTS-GLI-00001-000/BraTS-GLI-00001-000-{}.nii.gz", _LATER),
        ("2024", "BraTS-GLI-02063-101/BraTS-GLI-02063-101-{}.nii.gz", _LATER),
        ("BIDS", "sub-01/ses-2/anat/sub-01_ses-2_{}.nii.gz", _WORDS),
    ):
        name = year if year == "BIDS" else f"BraTS {year}"
        yield _way(name, "layout", lambda patient, folder, p=pattern, n=names: _laid(patient, folder, p, n))
    yield _way("Decathlon, 4-D", "layout", _decathlon)
    yield _way("nnU-Net", "layout", _nnunet)
    yield _way("table", "layout", _table)


def _laid(patient: Patient, folder: Path, pattern: str, names: dict[Modality, str]) -> list[str]:
    for modality, array in patient.images.items():
        path = folder / pattern.format(names[modality])
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(_image(array, patient.affine), path)
    return ["--case", str(folder)]


def _decathlon(patient: Patient, folder: Path) -> list[str]:
    stack = np.stack([patient.images[modality] for modality in Modality], axis=-1)
    (folder / "imagesTs").mkdir()
    nib.save(_image(stack, patient.affine), folder / "imagesTs" / "BRATS_007.nii.gz")
    (folder / "dataset.json").write_text(
        json.dumps(
            {
                "tensorImageSize": "4D",
                "modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"},
                "labels": {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"},
                "training": [],
                "test": ["./imagesTs/BRATS_007.nii.gz"],
            }
        )
    )
    return ["--case", str(folder)]


def _nnunet(patient: Patient, folder: Path) -> list[str]:
    """In another order of channels than ours."""
    order = (Modality.T1, Modality.T1CE, Modality.T2, Modality.FLAIR)
    for index, modality in enumerate(order):
        path = folder / "imagesTr" / f"case_7_{index:04d}.nii.gz"
        path.parent.mkdir(exist_ok=True)
        nib.save(_image(patient.images[modality], patient.affine), path)
    names = {str(index): _WORDS[modality].replace("ce-gadolinium_T1w", "T1ce") for index, modality in enumerate(order)}
    content = {"channel_names": names, "labels": {"background": 0, "edema": 1}, "file_ending": ".nii.gz"}
    (folder / "dataset.json").write_text(json.dumps(content))
    return ["--case", str(folder)]


def _table(patient: Patient, folder: Path) -> list[str]:
    words = _files(lambda image: image)(patient, folder)
    with (folder / "patients.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["case", *(word[2:] for word in words[::2])], ["7", *words[1::2]]])
    return ["--case", str(folder / "patients.csv")]
