"""How many cases an importer found, of how many patients, and what they lack."""

from __future__ import annotations

from collections.abc import Sequence

from limbeck.anatomy import Modality
from limbeck.data.case import Case


def census(cases: Sequence[Case]) -> str:
    """A line such as `40 cases of 38 patients; 3 of 40 lack t1ce; 1 of 40 lacks a segmentation`."""
    patients = len({case.patient for case in cases})
    of = f" of {_counted(patients, 'patient')}" if patients < len(cases) else ""
    parts = [f"{_counted(len(cases), 'case')}{of}"]
    lacking = {modality.role: sum(not case.present[modality] for case in cases) for modality in Modality}
    lacking["a segmentation"] = sum(case.labels is None for case in cases)
    for what, count in lacking.items():
        if count:
            parts.append(f"{count} of {len(cases)} {'lacks' if count == 1 else 'lack'} {what}")
    return "; ".join(parts)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
