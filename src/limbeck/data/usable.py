"""Which cases have what is asked of them, and, in words, what the others lack: nobody is left out in silence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from limbeck.anatomy import Modality, Subset


class Partial(Protocol):
    """A case that may lack sequences, or a segmentation."""

    @property
    def present(self) -> Sequence[bool]:
        """`[4]`, which sequences lie on disk."""

    @property
    def segmented(self) -> bool:
        """Whether there is a segmentation."""


CaseT = TypeVar("CaseT", bound=Partial)


@dataclass(frozen=True)
class Usable(Generic[CaseT]):
    """The cases of several that have a segmentation, and all sequences of one subset or another.

    Attributes:
        cases: those that have.
        offered: how many there were.
        unsegmented: how many lack the segmentation.
        incomplete: how many of the others lack sequences.
        lacking: sequence -> how many of the incomplete lack it; a sequence that none lacks has no entry.
    """

    cases: tuple[CaseT, ...]
    offered: int
    unsegmented: int
    incomplete: int
    lacking: Mapping[Modality, int]

    def __str__(self) -> str:
        """In words: `31 of 40 cases: 9 lack t1ce`, or `20 of 40 cases: 20 lack flair (12) or t1 (9)`."""
        reasons = []
        if self.incomplete:
            reasons.append(
                f"{self.incomplete} {'lacks' if self.incomplete == 1 else 'lack'} {self._lacking_in_words()}"
            )
        if self.unsegmented:
            reasons.append(f"{self.unsegmented} without a segmentation")
        told = f": {', '.join(reasons)}" if reasons else ""
        return f"{len(self.cases)} of {self.offered} cases{told}"

    def _lacking_in_words(self) -> str:
        if len(self.lacking) == 1:
            return next(iter(self.lacking)).role
        *others, last = (f"{modality.role} ({count})" for modality, count in self.lacking.items())
        return f"{', '.join(others)} or {last}"


def usable(cases: Sequence[CaseT], subsets: Sequence[Subset]) -> Usable[CaseT]:
    """Sort cases by whether they have a segmentation and all sequences of at least one subset."""
    segmented = [case for case in cases if case.segmented]
    kept = [case for case in segmented if any(subset.within(case.present) for subset in subsets)]
    others = [case for case in segmented if not any(subset.within(case.present) for subset in subsets)]
    wanted = sorted({modality for subset in subsets for modality in subset})
    counts = {modality: sum(not case.present[modality] for case in others) for modality in wanted}
    lacking = {modality: count for modality, count in counts.items() if count}
    return Usable(tuple(kept), len(cases), len(cases) - len(segmented), len(others), lacking)


def partial(cases: Sequence[Partial]) -> bool:
    """Whether any of the cases lacks a sequence."""
    return not all(all(case.present) for case in cases)


def counts(cases: Sequence[Partial], subsets: Sequence[Subset]) -> dict[Subset, int]:
    """How many of the cases have each subset."""
    return {subset: sum(subset.within(case.present) for case in cases) for subset in subsets}


def counts_in_words(found: Mapping[Subset, int]) -> str:
    """The most frequent first: `5 from flair, t2; 3 from t1; none from flair+t1`."""
    by_count: dict[int, list[str]] = {}
    for subset, count in sorted(found.items(), key=lambda item: -item[1]):
        by_count.setdefault(count, []).append(str(subset))
    return "; ".join(f"{count or 'none'} from {', '.join(names)}" for count, names in by_count.items())
