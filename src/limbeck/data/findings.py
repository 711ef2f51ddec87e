"""What is wrong with a data set or worth a thought: each thing with its remedy, and equal things in one line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from limbeck.errors import DataError

Severity: TypeAlias = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong or worth a thought.

    Attributes:
        case: the case; empty if it concerns the whole data set.
        severity: `error` if the case cannot be imported as it is, else `warning`.
        what: what was found, with the file.
        remedy: what would be right.
        file: the file that `what` begins with; empty if it concerns several or none.
    """

    case: str
    severity: Severity
    what: str
    remedy: str
    file: str = ""

    @property
    def problem(self) -> str:
        """What was found, without the file."""
        return self.what.removeprefix(f"{self.file}: ") if self.file else self.what


@dataclass(frozen=True)
class Told:
    """Equal findings of several cases as one.

    Attributes:
        severity: of all of them.
        what: what was found, with the file if it is one alone.
        remedy: what would be right.
        cases: where it was found, in the order of the findings; empty if it concerns the whole data set.
    """

    severity: Severity
    what: str
    remedy: str
    cases: tuple[str, ...]


def of_error(case: str, error: DataError, file: str = "") -> list[Finding]:
    """Findings from lines of the form `file: what was found: what would be right`, as the reading of volumes does."""
    findings = []
    for line in str(error).split("\n"):
        what, _, remedy = line.rpartition(": ")
        findings.append(Finding(case, "error", what, remedy, file if file and what.startswith(f"{file}: ") else ""))
    return findings


def of_files(case: str, whats: Sequence[tuple[str, str, str]], remedy: str, files: int) -> list[Finding]:
    """The same warning of several files of a case, told once.

    Args:
        case: the case.
        whats: for each file that it concerns its role, its name, and what was found.
        remedy: what would be right.
        files: how many the case has.
    """
    if not whats:
        return []
    if len(whats) == 1:
        _, file, what = whats[0]
        return [Finding(case, "warning", f"{file}: {what}", remedy, file)]
    different = list(dict.fromkeys(what for _, _, what in whats))
    if len(different) == 1 and len(whats) == files:
        return [Finding(case, "warning", f"all sequences: {different[0]}", remedy)]
    roles = {what: ", ".join(role for role, _, other in whats if other == what) for what in different}
    return [Finding(case, "warning", "; ".join(f"{roles[what]}: {what}" for what in different), remedy)]


def folded(findings: Iterable[Finding]) -> list[Told]:
    """Errors first, then warnings; findings that differ in case and file alone become one."""
    alike: dict[tuple[Severity, str, str], list[Finding]] = {}
    for finding in findings:
        alike.setdefault((finding.severity, finding.problem, finding.remedy), []).append(finding)
    told = []
    for (severity, problem, remedy), members in alike.items():
        what = members[0].what if len(members) == 1 else problem
        told.append(
            Told(severity, what, remedy, tuple(dict.fromkeys(finding.case for finding in members if finding.case)))
        )
    return sorted(told, key=lambda entry: entry.severity != "error")
