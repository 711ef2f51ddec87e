"""How much each sequence looks like the role that it was given.

Tissue with long relaxation times (fluid above all) is dark in T1 and bright in T2; an inversion takes the fluid's
signal away in FLAIR, where oedema stays bright. So inside the brain, away from its edge and evened for coil shading:

    tail(a)     how far a sequence's bright tail outreaches its dark one, over their sum: fluid makes it positive in T2
    like(a, b)  correlation of two sequences: below 0 for T2 beside any T1
    lead(a, b)  tail of the difference of two: fluid makes it strongly negative for FLAIR less T2

`EXPECTED` holds mean and deviation of these over synthetic patients (phantoms of cohort seed 100, widened by 0.1,
since real scanners differ more than ours). A different order of the roles is believed if it explains what was measured
far better than the given one: by the logarithm of odds that `_NEEDED` states, each measure counting for no more than
three deviations. `python benchmarks/plausibility.py` measures table and rates again.

What cannot be told: a sequence alone; T1 from T1ce, which differ by vessels and enhancement alone where a tumour takes
up little, and by the kind of sequence as much; FLAIR from T1 or T1ce where no T2 is given. There nothing is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from math import log
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from limbeck.anatomy import Modality
from limbeck.data.coarse import Coarse

Roles: TypeAlias = Mapping[Modality, Modality]
_FLAIR, _T1, _T1CE, _T2 = Modality
_RIM_MM = 7.0
_FEWEST_VOXELS = 2000
_MOST_DEVIATIONS = 3.0
# Natural logarithm of the odds. Of synthetic patients under their right names none reached 2 with all four, nor 7 with
# fewer.
_NEEDED = {2: 8.0, 3: 8.0, 4: 5.0}

Expected: TypeAlias = Mapping[tuple[str, Modality, Modality], tuple[float, float]]
EXPECTED: Expected = MappingProxyType(
    {
        ("tail", _FLAIR, _FLAIR): (-0.35, 0.24),
        ("tail", _T1, _T1): (-0.27, 0.16),
        ("tail", _T1CE, _T1CE): (-0.27, 0.22),
        ("tail", _T2, _T2): (0.19, 0.15),
        ("like", _FLAIR, _T1): (0.45, 0.22),
        ("like", _FLAIR, _T1CE): (0.40, 0.20),
        ("like", _FLAIR, _T2): (-0.27, 0.26),
        ("like", _T1, _T1CE): (0.60, 0.19),
        ("like", _T1, _T2): (-0.75, 0.14),
        ("like", _T1CE, _T2): (-0.63, 0.17),
        ("lead", _FLAIR, _T1): (-0.07, 0.18),
        ("lead", _FLAIR, _T1CE): (-0.10, 0.18),
        ("lead", _FLAIR, _T2): (-0.56, 0.15),
        ("lead", _T1, _T1CE): (-0.16, 0.19),
        ("lead", _T1, _T2): (-0.21, 0.15),
        ("lead", _T1CE, _T2): (-0.32, 0.16),
    }
)
Measures: TypeAlias = dict[tuple[str, Modality, Modality], float]


@dataclass(frozen=True)
class Mistake:
    """Roles that explain the sequences better than those they were given.

    Attributes:
        given: the role or roles that look wrong.
        real: what each of them looks like.
        evidence: natural logarithm of the odds.
    """

    given: tuple[Modality, ...]
    real: tuple[Modality, ...]
    evidence: float


def mistaken(coarse: Coarse) -> Mistake | None:
    """The likeliest mistake in the roles of skull-stripped sequences; None if none is far likelier than no mistake."""
    measures = measure(coarse)
    if len(coarse.images) < 2 or measures is None:
        return None
    best = max(mistakes(measures, set(coarse.images)), key=lambda mistake: mistake.evidence)
    return best if best.evidence > _NEEDED[len(coarse.images)] else None


def measure(coarse: Coarse) -> Measures | None:
    """The measures of every sequence and pair; None where there is too little brain, or a sequence has no contrast."""
    brain = coarse.brain
    inner = brain & (coarse.depth_mm(brain) > _RIM_MM)
    if inner.sum() < _FEWEST_VOXELS:
        return None
    values = {modality: image[inner] for modality, image in coarse.evened(brain).items()}
    scaled, measures = {}, {}
    for modality, there in values.items():
        low, middle, high = np.percentile(there, (25, 50, 75))
        if not high > low:
            return None
        scaled[modality] = (there - middle) / (high - low)
        measures["tail", modality, modality] = _lean(there, (1, 2, 4))
    for one, two in combinations(sorted(scaled), 2):
        clipped = np.corrcoef(np.clip(scaled[one], -3, 3), np.clip(scaled[two], -3, 3))
        measures["like", one, two] = float(clipped[0, 1])
        measures["lead", one, two] = _lean(scaled[one] - scaled[two], (0.5, 2, 10))
    return measures


def mistakes(measures: Measures, given: set[Modality]) -> Iterator[Mistake]:
    """Every single mistake there could be, with its evidence: two roles swapped, or one that is another."""
    as_given = {modality: modality for modality in given}
    base = _score(measures, as_given)
    for one, two in combinations(sorted(given), 2):
        if {one, two} != {_T1, _T1CE}:
            yield Mistake((one, two), (two, one), _score(measures, {**as_given, one: two, two: one}) - base)
    for one in sorted(given):
        for other in sorted(set(Modality) - given):
            if {one, other} != {_T1, _T1CE}:
                yield Mistake((one,), (other,), _score(measures, {**as_given, one: other}) - base)


def _score(measures: Measures, roles: Roles) -> float:
    """Logarithm of the likelihood of the measures if each sequence had the role that `roles` says, up to a constant."""
    total = 0.0
    for (kind, one, two), found in measures.items():
        wanted, deviation = _expected(kind, roles[one], roles[two])
        apart = min(abs(found - wanted) / deviation, _MOST_DEVIATIONS)
        total -= apart**2 / 2 + log(deviation)
    return total


def _expected(kind: str, one: Modality, two: Modality) -> tuple[float, float]:
    if one <= two:
        return EXPECTED[kind, one, two]
    mean, deviation = EXPECTED[kind, two, one]
    return (-mean if kind == "lead" else mean), deviation


def _lean(values: NDArray[np.float32], percents: tuple[float, ...]) -> float:
    """Bright tail less dark tail over their sum, -1 to 1; the mean over several lengths of tail."""
    middle = np.median(values)
    leans = []
    for percent in percents:
        low, high = np.percentile(values, (percent, 100 - percent))
        leans.append(float((high + low - 2 * middle) / max(float(high - low), 1e-9)))
    return float(np.mean(leans))
