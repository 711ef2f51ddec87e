"""What is wrong with one case: every file is read, and every problem told once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from limbeck.anatomy import Modality, Subset
from limbeck.data import fingerprint
from limbeck.data.case import Case, Source
from limbeck.data.findings import Finding, of_error, of_files
from limbeck.data.grid import PLACE_IT, Grid
from limbeck.data.inspection_labels import apart_mm, corner, examine_labels
from limbeck.data.plausibility import doubts
from limbeck.data.preprocess import odd_grids
from limbeck.data.volume import read_volumes
from limbeck.errors import DataError

_THICK_MM = 3.0
_APART_MM = 0.1
Volumes = dict[Modality, tuple[NDArray[np.float32], Grid]]


@dataclass(frozen=True)
class Examined:
    """A case as it was found. Native space, axes as in the file; empty where nothing could be read.

    Attributes:
        case: its name.
        patient: who was examined.
        sequences: what is there, such as `flair+t1ce`.
        shape: voxels along the file's axes.
        spacing_mm: voxel edges along the file's axes.
        orientation: where the file's axes point, such as `LPS`.
        brain_ml: volume in which any sequence is not 0, in millilitres; None if nothing could be read.
        label_ml: volume of each label in millilitres; None without a segmentation.
    """

    case: str
    patient: str
    sequences: str
    shape: tuple[int, ...] = ()
    spacing_mm: tuple[float, ...] = ()
    orientation: str = ""
    brain_ml: float | None = None
    label_ml: dict[str, float] | None = None


@dataclass(frozen=True)
class Examination:
    """A case, what is wrong with it, and what it is compared with other cases by.

    Attributes:
        row: the case.
        findings: its problems.
        placed: whether its header says where it lies, so that its axes are no guess.
        plausible: whether nothing about its images is doubtful.
        images: hash of each sequence that could be read, by role.
        labels: hash of its segmentation; empty if there is none, or nothing labelled.
    """

    row: Examined
    findings: list[Finding]
    placed: bool = True
    plausible: bool = True
    images: dict[str, str] = field(default_factory=dict)
    labels: str = ""


def examine(case: Case, scheme: str, expect_labels: bool) -> Examination:
    """Look at every voxel of a case.

    Args:
        case: which.
        scheme: name of the label scheme of its segmentation; empty if that could not be settled.
        expect_labels: whether a case without a segmentation is worth a word.
    """
    findings = absences(case.id, case.present, case.labels is not None or not expect_labels)
    volumes, unreadable = _read(case)
    findings += unreadable
    findings += _positions(case, volumes)
    grid, odd = _grids(case, volumes)
    findings += odd
    hashes = {modality: fingerprint.of_image(image) for modality, (image, _) in volumes.items()}
    same = {m: image for m, (image, own) in volumes.items() if grid is not None and grid.difference(own) is None}
    twins, alike = _twins(case, volumes, hashes)
    flat = _without_contrast(case, volumes)
    findings += alike + flat
    head = np.logical_or.reduce([image != 0 for image in same.values()]) if same else None
    spoilt = twins | {modality for modality in volumes if _one_value(volumes[modality][0])}
    odd_ones = doubts({m: image for m, image in same.items() if m not in spoilt}, grid) if grid and same else []
    findings += [Finding(case.id, "warning", doubt.what, doubt.remedy) for doubt in odd_ones]
    segmentation, more = examine_labels(case, scheme, grid, head)
    label_ml = segmentation.label_ml if segmentation else None
    row = row_of(case.id, case.patient, str(Subset(case.images)), grid, label_ml, head)
    prints = {modality.role: hashes[modality] for modality in hashes}
    placed = grid is None or not grid.unplaced
    hashed = segmentation.hash if segmentation else ""
    return Examination(row, findings + more, placed, not odd_ones, prints, hashed)


def absences(case_id: str, present: tuple[bool, ...], segmented: bool) -> list[Finding]:
    """What a case lacks."""
    findings = []
    absent = [modality.role for modality in Modality if not present[modality]]
    if absent:
        remedy = "the case serves the subsets without it"
        findings.append(Finding(case_id, "warning", f"no {' and no '.join(absent)}", remedy))
    if not segmented:
        findings.append(Finding(case_id, "warning", "no segmentation", "the case serves neither training nor test"))
    return findings


def row_of(
    case: str,
    patient: str,
    sequences: str,
    grid: Grid | None,
    label_ml: dict[str, float] | None,
    head: NDArray[np.bool_] | None = None,
) -> Examined:
    """A case as a row; `head` `[X,Y,Z]` is where any sequence has signal."""
    if grid is None:
        return Examined(case, patient, sequences, label_ml=label_ml)
    spacing = tuple(round(edge, 6) for edge in grid.spacing_mm)
    brain = round(float(head.sum()) * grid.voxel_ml, 1) if head is not None else None
    return Examined(case, patient, sequences, grid.shape, spacing, grid.orientation, brain, label_ml)


def _read(case: Case) -> tuple[Volumes, list[Finding]]:
    """Every image that can be read, each file unpacked once, and what is wrong with the others."""
    by_file: dict[object, list[tuple[Modality, Source]]] = {}
    for modality, source in sorted(case.images.items()):
        by_file.setdefault(source.path, []).append((modality, source))
    volumes: Volumes = {}
    findings: list[Finding] = []
    for members in by_file.values():
        try:
            read = read_volumes([source for _, source in members])
            volumes.update({modality: volume for (modality, _), volume in zip(members, read, strict=True)})
        except DataError:
            # One by one, so that each channel is told about, or the whole file once.
            one_by_one, problems = _each(case.id, members)
            volumes.update(one_by_one)
            findings += problems
    return dict(sorted(volumes.items())), findings


def _each(case_id: str, members: list[tuple[Modality, Source]]) -> tuple[Volumes, list[Finding]]:
    volumes: Volumes = {}
    findings: dict[Finding, None] = {}
    for modality, source in members:
        try:
            volumes[modality] = read_volumes([source])[0]
        except DataError as error:
            findings.update(dict.fromkeys(of_error(case_id, error, str(source))))
    return volumes, list(findings)


def _positions(case: Case, volumes: Volumes) -> list[Finding]:
    """What headers leave open, and slices that are thick."""
    named = {modality: (modality.role, str(case.images[modality])) for modality in volumes}
    unplaced = [(*named[modality], grid.doubt) for modality, (_, grid) in volumes.items() if grid.doubt]
    thick = [
        (*named[modality], f"voxels are {max(grid.spacing_mm):.3g} mm long")
        for modality, (_, grid) in volumes.items()
        if max(grid.spacing_mm) > _THICK_MM
    ]
    return [
        *of_files(case.id, unplaced, PLACE_IT, len(case.images)),
        *of_files(case.id, thick, "detail along this axis is interpolated", len(case.images)),
    ]


def _grids(case: Case, volumes: Volumes) -> tuple[Grid | None, list[Finding]]:
    """The grid that most sequences share, and those that lie on another."""
    if not volumes:
        return None, []
    grids = {modality: grid for modality, (_, grid) in volumes.items()}
    names = {modality: str(case.images[modality]) for modality in grids}
    grid, lines = odd_grids(grids, names)
    odd = [modality for modality in sorted(grids) if grid.difference(grids[modality]) is not None]
    findings = []
    for modality, line in zip(odd, lines, strict=True):
        what, _, remedy = line.rpartition(": ")
        what += corner(grid, grids[modality])
        findings.append(Finding(case.id, "error", what, remedy, names[modality]))
    shifted = [
        (modality.role, names[modality], f"up to {apart_mm(grid, grids[modality]):.3g} mm off the other sequences")
        for modality in sorted(set(grids) - set(odd))
        if apart_mm(grid, grids[modality]) > _APART_MM
    ]
    remedy = "taken as lying on their grid: see where this comes from"
    return grid, findings + of_files(case.id, shifted, remedy, len(case.images))


def _twins(case: Case, volumes: Volumes, hashes: Mapping[Modality, str]) -> tuple[set[Modality], list[Finding]]:
    """Sequences that hold the voxels of another, and what to say of them."""
    first: dict[str, Modality] = {}
    twins = set()
    findings = []
    for modality, hashed in hashes.items():
        other = first.setdefault(hashed, modality)
        if other is modality:
            continue
        twins.add(modality)
        file = str(case.images[modality])
        if np.array_equal(volumes[modality][0], volumes[other][0]):
            what = f"{file}: the same image as {other.role}"
            findings.append(Finding(case.id, "error", what, "give each its own file", file))
        else:
            what = f"{file}: the voxels of {other.role}, turned or mirrored"
            findings.append(Finding(case.id, "warning", what, "give each its own file", file))
    return twins, findings


def _without_contrast(case: Case, volumes: Volumes) -> list[Finding]:
    findings = []
    for modality, (image, _) in volumes.items():
        if _one_value(image):
            file = str(case.images[modality])
            what = f"{file}: the brain has one value"
            findings.append(Finding(case.id, "error", what, "expected contrast", file))
    return findings


def _one_value(image: NDArray[np.float32]) -> bool:
    """Whether every voxel that is not 0 has the same value."""
    inside = image[image != 0]
    return bool((inside == inside[0]).all())
