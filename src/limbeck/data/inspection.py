"""Every problem of a data set at once, before anybody waits for an import.

An error would stop the import of its case; a warning would not, and says what to think about. No torch is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from limbeck.anatomy import Label, Modality, Subset
from limbeck.data.case import Case, Source
from limbeck.data.cohort import Cohort
from limbeck.data.grid import Grid, by
from limbeck.data.importers import detect_layout
from limbeck.data.preprocess import odd_grids
from limbeck.data.volume import read_labels, read_volume
from limbeck.errors import DataError

Severity: TypeAlias = Literal["error", "warning"]
# Skull-stripped heads fill about a sixth of their volume, whole heads in air with noise nearly all of it.
_FILLED = 0.6
_THICK_MM = 3.0
_OUTSIDE = 0.05


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong or worth a thought.

    Attributes:
        case: the case; empty if it concerns the whole data set.
        severity: `error` if the case cannot be imported as it is, else `warning`.
        what: what was found, with the file.
        remedy: what would be right.
    """

    case: str
    severity: Severity
    what: str
    remedy: str


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
        label_ml: volume of each label in millilitres; None without a segmentation.
    """

    case: str
    patient: str
    sequences: str
    shape: tuple[int, ...] = ()
    spacing_mm: tuple[float, ...] = ()
    orientation: str = ""
    label_ml: dict[str, float] | None = None


@dataclass
class Report:
    """What `inspect` found.

    Attributes:
        source: the folder that was looked at.
        layout: name of the layout, or `cohort`.
        scheme: name of the label scheme that its segmentations were read with.
        explanation: why this layout, for the user.
        cases: every case.
        findings: every problem.
    """

    source: str
    layout: str
    scheme: str
    explanation: str
    cases: list[Examined] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def errors(self) -> int:
        """Number of findings that would stop an import."""
        return sum(finding.severity == "error" for finding in self.findings)

    @property
    def warnings(self) -> int:
        """Number of findings that would not."""
        return len(self.findings) - self.errors

    def to_json(self) -> dict[str, Any]:
        """The report as plain numbers and strings."""
        return {**asdict(self), "errors": self.errors, "warnings": self.warnings}

    def rows(self) -> list[dict[str, str]]:
        """One row a case for a table; the keys are the columns."""
        return [
            {
                "case": case.case,
                "patient": case.patient,
                "sequences": case.sequences,
                "shape": by(case.shape),
                "spacing [mm]": " x ".join(f"{edge:.3g}" for edge in case.spacing_mm),
                "axes": case.orientation,
                "labels [ml]": _in_words(case.label_ml),
                "findings": str(sum(finding.case == case.case for finding in self.findings)),
            }
            for case in self.cases
        ]


def inspect(
    source: Path,
    layout: str = "auto",
    scheme: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Look at every voxel of a data set in any known layout, or compare a cohort with its checksums.

    Args:
        source: the folder of a data set, or a cohort.
        layout: name of the layout, or `auto`.
        scheme: name of the label scheme, if not the layout's own.
        progress: called with cases done and cases in all.

    Raises:
        DataError: the folder is missing, or looks like nothing that is known.
        UsageError: the layout or the scheme does not exist.
    """
    source = Path(source)
    if (source / "cohort.json").is_file():
        return _inspect_cohort(source)
    importer, explanation = detect_layout(source, layout)
    report = Report(str(source), importer.name, scheme or "", explanation)
    try:
        report.scheme = scheme or importer.scheme(source)
        cases = importer.find(source)
    except DataError as error:
        report.findings += _errors("", error)
        return report
    if not cases:
        report.findings.append(Finding("", "error", f"{source}: no cases", importer.explanation))
    if cases and not any(case.labels for case in cases):
        report.findings.append(Finding("", "warning", "no case has a segmentation", "nothing can be trained on it"))
    for done, case in enumerate(cases, start=1):
        _inspect_case(case, report, warn_unlabelled=any(other.labels for other in cases))
        if progress is not None:
            progress(done, len(cases))
    return report


def _inspect_cohort(path: Path) -> Report:
    cohort = Cohort.open(path)
    report = Report(str(path), "cohort", cohort.scheme, f"cohort of {len(cohort.cases)} cases, hash {cohort.hash[:8]}")
    for case_id, line in cohort.problems():
        report.findings += _errors(case_id, DataError(line))
    for case_id, reason in cohort.skipped.items():
        report.findings.append(Finding(case_id, "warning", f"left out of the import: {reason}", "mend it, import anew"))
    for case in cohort.cases:
        there = Subset(modality for modality in Modality if case.present[modality])
        try:
            grid, volumes = case.geometry.grid, dict(case.label_ml) if case.segmented else None
        except DataError:
            # Its checksum has told already.
            report.cases.append(Examined(case.id, case.patient, str(there)))
            continue
        report.cases.append(_row(case.id, case.patient, str(there), grid, volumes))
        report.findings += _absences(case.id, case.present, case.segmented)
    return report


def _inspect_case(case: Case, report: Report, warn_unlabelled: bool) -> None:
    """Add a case's row and findings. One image is in memory at a time, and the head's outline."""
    findings = _absences(case.id, case.present, case.labels is not None or not warn_unlabelled)
    grids: dict[Modality, Grid] = {}
    prints: dict[int, Modality] = {}
    head: NDArray[np.bool_] | None = None
    for modality, source in sorted(case.images.items()):
        try:
            image, grids[modality] = read_volume(source)
        except DataError as error:
            findings += _errors(case.id, error)
            continue
        inside = image != 0
        head = inside if head is None or head.shape != inside.shape else head | inside
        findings += _image_warnings(case.id, source, inside, grids[modality])
        if (image[inside] == image[inside][0]).all():
            findings += _errors(case.id, DataError(f"{source}: the brain has one value: expected contrast"))
        twin = prints.setdefault(hash(image.tobytes()), modality)
        if twin is not modality:
            findings += _errors(case.id, DataError(f"{source}: the same image as {twin.role}: give each its own file"))
    names = {modality: str(source) for modality, source in case.images.items()}
    grid, lines = odd_grids(grids, names) if grids else (None, [])
    findings += _errors(case.id, DataError("\n".join(lines))) if lines else []
    volumes, more = _inspect_labels(case, report.scheme, grid, head)
    report.findings += findings + more
    report.cases.append(_row(case.id, case.patient, str(Subset(case.images)), grid, volumes))


def _inspect_labels(
    case: Case, scheme: str, grid: Grid | None, head: NDArray[np.bool_] | None
) -> tuple[dict[str, float] | None, list[Finding]]:
    """Volume of each label, and what is wrong with the segmentation."""
    if case.labels is None:
        return None, []
    try:
        labels, own = read_labels(case.labels, scheme)
    except DataError as error:
        return None, _errors(case.id, error)
    findings = []
    difference = grid.difference(own) if grid is not None else None
    if difference is not None:
        what = f"{case.labels}: {difference}, compared with the images"
        findings.append(Finding(case.id, "error", what, "a segmentation must lie on the grid of its images"))
    elif head is not None and head.shape == labels.shape:
        labelled = labels > 0
        outside = float((labelled & ~head).sum()) / max(1, int(labelled.sum()))
        if outside > _OUTSIDE:
            what = f"{case.labels}: {outside:.0%} of the labelled voxels lie outside the head"
            findings.append(Finding(case.id, "warning", what, "check that it belongs to this case"))
    counts = np.bincount(labels.ravel(), minlength=len(Label))
    volumes = {
        label.name.lower(): round(float(counts[label]) * own.voxel_ml, 6) for label in Label if label and counts[label]
    }
    if not volumes:
        findings.append(Finding(case.id, "warning", f"{case.labels}: all background", "check that it has no tumour"))
    return volumes, findings


def _image_warnings(case_id: str, source: Source, inside: NDArray[np.bool_], grid: Grid) -> list[Finding]:
    findings = []
    filled = float(inside.mean())
    if filled > _FILLED:
        what = f"{source}: {filled:.0%} of the voxels are not 0"
        findings.append(Finding(case_id, "warning", what, "expected a skull-stripped head in a background of 0"))
    if grid.unplaced:
        what = f"{source}: neither qform nor sform, so {grid.orientation} is a guess"
        findings.append(Finding(case_id, "warning", what, "left and right may be swapped: export it with its position"))
    if max(grid.spacing_mm) > _THICK_MM:
        what = f"{source}: voxels are {max(grid.spacing_mm):.3g} mm long"
        findings.append(Finding(case_id, "warning", what, "detail along this axis is interpolated"))
    return findings


def _absences(case_id: str, present: tuple[bool, ...], segmented: bool) -> list[Finding]:
    findings = []
    absent = [modality.role for modality in Modality if not present[modality]]
    if absent:
        remedy = "the case serves the subsets without it"
        findings.append(Finding(case_id, "warning", f"no {' and no '.join(absent)}", remedy))
    if not segmented:
        findings.append(Finding(case_id, "warning", "no segmentation", "the case serves neither training nor test"))
    return findings


def _errors(case_id: str, error: DataError) -> list[Finding]:
    """Lines of the form `file: what was found: what would be right`, as the reading of volumes words them."""
    findings: list[Finding] = []
    for line in str(error).split("\n"):
        what, _, remedy = line.rpartition(": ")
        findings.append(Finding(case_id, "error", what, remedy))
    return findings


def _row(case: str, patient: str, sequences: str, grid: Grid | None, volumes: dict[str, float] | None) -> Examined:
    if grid is None:
        return Examined(case, patient, sequences, label_ml=volumes)
    spacing = tuple(round(edge, 6) for edge in grid.spacing_mm)
    return Examined(case, patient, sequences, grid.shape, spacing, grid.orientation, volumes)


def _in_words(volumes: dict[str, float] | None) -> str:
    if volumes is None:
        return "-"
    return ", ".join(f"{name.replace('_', ' ')} {volume:.1f}" for name, volume in volumes.items()) or "none"
