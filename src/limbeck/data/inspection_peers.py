"""What is odd about a case beside the others of its data set: copies, and those that stand apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from limbeck.data.findings import Finding
from limbeck.data.inspection_case import Examination

_FEWEST_CASES = 5
# So many must agree before the others are odd.
_MOST = 0.75
_FEWEST_BRAINS = 8
_FAR_DEVIATIONS = 6.0
_FAR_SHARE = 0.25
# Of a normal distribution, the deviation over the median distance from the median.
_DEVIATION = 1.4826
_Trait: TypeAlias = Callable[[Examination], str]


def across(examinations: Sequence[Examination]) -> list[Finding]:
    """Everything that only shows when cases are compared. Two cases that share an image are told about once."""
    return [*_copies(examinations), *_odd_ones(examinations), *_brains(examinations)]


def _copies(examinations: Sequence[Examination]) -> list[Finding]:
    first: dict[str, str] = {}
    patients = {examination.row.case: examination.row.patient for examination in examinations}
    findings = []
    for examination in examinations:
        case = examination.row.case
        shared: dict[str, list[str]] = {}
        prints = {**examination.images, **({"segmentation": examination.labels} if examination.labels else {})}
        for role, hashed in prints.items():
            other = first.setdefault(hashed, case)
            if other != case:
                shared.setdefault(other, []).append(role)
        for other, roles in shared.items():
            what = f"the same {', '.join(roles)} as {other}"
            findings.append(Finding(case, "warning", what, _copy_remedy(roles, patients[case] == patients[other])))
    return findings


def _copy_remedy(roles: list[str], same_patient: bool) -> str:
    if roles == ["segmentation"]:
        return "one of the two is in the wrong place: find the right one"
    if same_patient:
        return "leave one of the two out"
    return "leave one of the two out, or a patient may be in training and in test at once"


def _odd_ones(examinations: Sequence[Examination]) -> list[Finding]:
    read = [examination for examination in examinations if examination.row.shape]
    turned = _apart(
        [examination for examination in read if examination.placed],
        lambda examination: examination.row.orientation,
        "axes point to {found}, in {share} other cases to {usual}",
        "right if its header is right; else left and right, or up and down, are swapped",
    )
    sized = _apart(
        read,
        lambda examination: " x ".join(f"{edge:.2g}" for edge in examination.row.spacing_mm),
        "voxels of {found} mm, in {share} other cases {usual} mm",
        "it will be resampled: check that it went through the same steps as the others",
    )
    return turned + sized


def _apart(read: list[Examination], trait: _Trait, words: str, remedy: str) -> list[Finding]:
    """Cases that differ from what nearly all have in common."""
    counts = Counter(trait(examination) for examination in read)
    if len(read) < _FEWEST_CASES or len(counts) == 1:
        return []
    usual, share = counts.most_common(1)[0]
    if share < _MOST * len(read):
        return []
    return [
        Finding(
            examination.row.case,
            "warning",
            words.format(found=trait(examination), share=share, usual=usual),
            remedy,
        )
        for examination in read
        if trait(examination) != usual
    ]


def _brains(examinations: Sequence[Examination]) -> list[Finding]:
    """Brains far from the others in volume; those whose images are doubtful anyway have been told about."""
    volumes = {
        examination.row.case: examination.row.brain_ml
        for examination in examinations
        if examination.row.brain_ml and examination.plausible
    }
    if len(volumes) < _FEWEST_BRAINS:
        return []
    middle = float(np.median(list(volumes.values())))
    spread = _DEVIATION * float(np.median([abs(volume - middle) for volume in volumes.values()]))
    limit = max(_FAR_DEVIATIONS * spread, _FAR_SHARE * middle)
    return [
        Finding(
            case,
            "warning",
            f"the brain has {volume:.0f} ml, the others {middle:.0f} ml",
            "check its voxel size, its skull stripping, and that all of the brain is there",
        )
        for case, volume in volumes.items()
        if abs(volume - middle) > limit
    ]
