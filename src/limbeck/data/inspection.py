"""Every problem of a data set at once, before anybody waits for an import.

An error would stop the import of its case; a warning would not, and says what to think about. No torch is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from limbeck.anatomy import Modality, Subset
from limbeck.data.case import Case
from limbeck.data.cohort import Cohort, odd_names
from limbeck.data.cohort_case import CohortCase
from limbeck.data.findings import Finding, of_error
from limbeck.data.grid import by
from limbeck.data.importers import Importer, detect_layout
from limbeck.data.inspection_case import Examination, Examined, absences, examine, row_of
from limbeck.data.inspection_peers import across
from limbeck.data.pool import each
from limbeck.data.source import looked_up
from limbeck.data.volume import label_scheme
from limbeck.errors import DataError

__all__ = ["Examined", "Finding", "Report", "inspect"]
Progress = Callable[[int, int], None]


@dataclass
class Report:
    """What `inspect` found.

    Attributes:
        source: the folder or table that was looked at.
        layout: name of the layout, or `cohort`.
        scheme: name of the label scheme that its segmentations were read with; empty if it could not be settled.
        explanation: why this layout and this scheme, for the user.
        cases: every case.
        findings: every problem; those of the data set first, then case by case.
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
        """The report as plain numbers and strings; docs/how-to/inspect.md describes it."""
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
                "brain [ml]": "-" if case.brain_ml is None else f"{case.brain_ml:.0f}",
                "labels [ml]": _in_words(case.label_ml),
                "tumour [ml]": "-" if case.label_ml is None else f"{sum(case.label_ml.values()):.1f}",
                "findings": str(sum(finding.case == case.case for finding in self.findings)),
            }
            for case in self.cases
        ]


def inspect(
    source: Path,
    layout: str = "auto",
    scheme: str | None = None,
    progress: Progress | None = None,
    workers: int | None = None,
) -> Report:
    """Look at every voxel of a data set in any known layout, or compare a cohort with its checksums.

    Args:
        source: the folder of a data set, the CSV file of a table, or a cohort.
        layout: name of the layout, or `auto`.
        scheme: name of the label scheme, if not the data set's own.
        progress: called with cases done and cases in all, first with none done.
        workers: processes, each with one case in memory; None: one a processor where there are 8 cases or more.

    Raises:
        DataError: the folder is missing, cannot be looked at, or looks like nothing that is known.
        UsageError: the layout or the scheme does not exist.
        ResourceError: a worker was killed.
    """
    source = Path(source)
    if looked_up(source)[0] and (source / "cohort.json").is_file():
        return _inspect_cohort(source, progress, workers)
    if scheme is not None:
        label_scheme(scheme)
    importer, explanation = detect_layout(source, layout)
    report = Report(str(source), importer.name, scheme or "", explanation)
    try:
        cases = importer.find(source)
    except DataError as error:
        report.findings += of_error("", error)
        return report
    if overlooked := importer.overlooked(source):
        report.findings.append(Finding("", "warning", *overlooked))
    cases = _named_once(cases, report)
    segmented = any(case.labels for case in cases)
    if segmented and scheme is None:
        _settle_codes(report, importer, cases)
    elif cases and not segmented:
        report.findings.append(Finding("", "warning", "no case has a segmentation", "nothing can be trained on it"))
    work = partial(examine, scheme=report.scheme, expect_labels=segmented)
    examinations: dict[str, Examination] = {}
    _report_progress(progress, 0, len(cases))
    for examination in each(work, cases, workers):
        examinations[examination.row.case] = examination
        _report_progress(progress, len(examinations), len(cases))
    _add(report, [examinations[case.id] for case in cases])
    return report


def _named_once(cases: list[Case], report: Report) -> list[Case]:
    """The cases, of several with one name the last; names that no cohort can have, or no cases at all, are findings."""
    if not cases:
        report.findings.append(Finding("", "error", f"{report.source}: no cases", "check the folder and its layout"))
    for line in odd_names(cases):
        report.findings += of_error("", DataError(line))
    return list({case.id: case for case in cases}.values())


def _settle_codes(report: Report, importer: Importer, cases: list[Case]) -> None:
    """Find the label scheme; where that fails, the images are looked at all the same."""
    try:
        codes = importer.codes(Path(report.source), cases)
    except DataError as error:
        report.findings += of_error("", error)
        return
    report.scheme = codes.scheme
    report.explanation += f"; labels read as {codes.scheme}: {codes.why}"


def _add(report: Report, examinations: list[Examination]) -> None:
    """The cases in their order, and for each what concerns it alone before what shows beside the others."""
    report.cases += [examination.row for examination in examinations]
    beside = across(examinations)
    for examination in examinations:
        report.findings += examination.findings
        report.findings += [finding for finding in beside if finding.case == examination.row.case]


def _inspect_cohort(path: Path, progress: Progress | None, workers: int | None) -> Report:
    cohort = Cohort.open(path)
    report = Report(str(path), "cohort", cohort.scheme, f"cohort of {len(cohort.cases)} cases, hash {cohort.hash[:8]}")
    results: dict[str, tuple[Examined, list[Finding]]] = {}
    _report_progress(progress, 0, len(cohort.cases))
    for row, findings in each(_compare, cohort.cases, workers):
        results[row.case] = row, findings
        _report_progress(progress, len(results), len(cohort.cases))
    for case in cohort.cases:
        row, findings = results[case.id]
        report.cases.append(row)
        report.findings += findings
    if not report.errors:
        report.findings += _manifest(cohort)
    for case_id, reason in cohort.skipped.items():
        report.findings.append(Finding(case_id, "warning", f"left out of the import: {reason}", "mend it, import anew"))
    return report


def _compare(case: CohortCase) -> tuple[Examined, list[Finding]]:
    """A case of a cohort, and what differs from its checksums."""
    findings = [finding for line in case.problems() for finding in of_error(case.id, DataError(line))]
    there = str(Subset(modality for modality in Modality if case.present[modality]))
    try:
        grid, volumes = case.geometry.grid, dict(case.label_ml) if case.segmented else None
    except DataError:
        # Its checksum has told already.
        return Examined(case.id, case.patient, there), findings
    return row_of(case.id, case.patient, there, grid, volumes), [
        *findings,
        *absences(case.id, case.present, case.segmented),
    ]


def _manifest(cohort: Cohort) -> list[Finding]:
    try:
        cohort.check_hash()
    except DataError as error:
        return of_error("", error, str(cohort.path / "cohort.json"))
    return []


def _report_progress(progress: Progress | None, done: int, total: int) -> None:
    if progress is not None:
        progress(done, total)


def _in_words(volumes: dict[str, float] | None) -> str:
    if volumes is None:
        return "-"
    return ", ".join(f"{name.replace('_', ' ')} {volume:.1f}" for name, volume in volumes.items()) or "none"
