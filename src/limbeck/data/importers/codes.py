"""Which label codes a data set's segmentations use, settled once for all of them.

Label 4 is enhancing tumour in one year and a resection cavity in another, label 1 is necrotic core or oedema, and a
case without a 4 proves nothing. So names decide first, and then a survey of the segmentations themselves; what they
leave open, or deny, is for the user to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from limbeck.anatomy import CANONICAL_SCHEME
from limbeck.data.case import Case
from limbeck.data.source import Source, shown
from limbeck.errors import DataError

# Segmentations that are looked at, spread evenly over the data set.
_MOST = 40
# So many files with a 4, and none with a 3, are no longer patients without enhancing tumour.
_FEW = 3
# Share of the files in which the same label must be the outer one.
_AGREED = 0.75
_SHOWN = 3


@dataclass(frozen=True)
class Naming:
    """What the names in a data set say about label codes.

    Attributes:
        scheme: the label scheme that they point to; empty if they say nothing.
        why: what it is that points there.
        certain: a manifest gives the meaning of each code, so nothing else is asked.
    """

    scheme: str
    why: str
    certain: bool = False


@dataclass(frozen=True)
class Codes:
    """The label codes of a data set: name of the label scheme, and why, for the user."""

    scheme: str
    why: str


@dataclass(frozen=True)
class _Seen:
    """A segmentation that was looked at: the codes other than 0 in it, and which of 1 and 2 lies outside (0: open)."""

    path: Path
    codes: frozenset[int]
    outer: int


def settle(naming: Naming, cases: Sequence[Case], source: Path) -> Codes:
    """The label codes of the cases.

    Raises:
        DataError: what names and segmentations say cannot be one scheme, or leaves it open.
    """
    labelled = [case.labels for case in cases if case.labels is not None]
    if naming.certain or not labelled:
        return Codes(naming.scheme or "brats2018", naming.why if labelled else "there are no segmentations")
    chosen = _spread(labelled)
    seen = _survey(chosen)
    of = f"{len(chosen)} of {len(labelled)}" if len(chosen) < len(labelled) else f"all {len(labelled)}"
    looked = f"{of} segmentations looked at" if len(labelled) > 1 else "the one segmentation looked at"
    if len(seen) < len(chosen):
        looked += f", {len(chosen) - len(seen)} in vain"
    _check_binary(naming, seen, source)
    scheme, why = _decide(naming, seen, source)
    return Codes(scheme, f"{why}; {looked}")


def _decide(naming: Naming, seen: Sequence[_Seen], source: Path) -> tuple[str, str]:
    three, four = _holding(3, seen), _holding(4, seen)
    both = [file for file in three if file in four]
    if naming.scheme == "brats2023":
        # A 4 and no 3 anywhere may be enhancing tumour under new names as well as a cavity.
        if both or (three and 0 < len(four) < _FEW):
            return "brats2024", f"{naming.why}, and a 4, the resection cavity, in {len(four)}"
        if not four:
            return "brats2023", f"{naming.why}, and no 4"
        raise _contradiction(naming, three, four, source)
    if naming.scheme == "" and both:
        return "brats2024", f"{naming.why}, but 3 and 4 occur in one file"
    if three and four:
        raise _contradiction(naming, three, four, source)
    if four:
        return "brats2018", f"{naming.why}, and a 4 but no 3"
    if naming.scheme and not three:
        return naming.scheme, f"{naming.why}, and neither 3 nor 4"
    return _by_outer_label(naming, seen, "brats2023" if three else "brats2018", source)


def _by_outer_label(naming: Naming, seen: Sequence[_Seen], usual: str, source: Path) -> tuple[str, str]:
    """Tell whether 1 is necrotic core or oedema, for which there are two orders, by which lies outside the other."""
    third = "a 3 but no 4" if usual == "brats2023" else "neither 3 nor 4"
    votes = [file.outer for file in seen if file.outer]
    for outer, scheme in ((2, usual), (1, "msd")):
        agreeing = votes.count(outer)
        if votes and agreeing >= _AGREED * len(votes):
            why = f"{third}; {outer} lies around the rest in {agreeing} of {len(votes)} and so is oedema"
            return scheme, f"{naming.why}, and {why}"
    if naming.scheme:
        return usual, f"{naming.why}, and {third}"
    if not any(file.codes for file in seen):
        return usual, f"{naming.why}, and nothing is labelled"
    raise DataError(
        f"{shown(source)}: {third} in its segmentations, and nothing tells whether 1 is necrotic core or oedema: "
        f"choose with --labels {usual} (1 necrotic core) or --labels msd (1 oedema)"
    )


def _check_binary(naming: Naming, seen: Sequence[_Seen], source: Path) -> None:
    """Refuse segmentations that outline one thing, unless names say what it is."""
    together = frozenset[int]().union(*(file.codes for file in seen))
    if not naming.scheme and len(together) == 1:
        raise DataError(
            f"{shown(source)}: its segmentations, such as {seen[0].path}, hold {min(together)} and nothing else: "
            "expected a code for each tissue; join the masks of one case in one file, or say their meaning: --labels"
        )


def _contradiction(naming: Naming, three: Sequence[_Seen], four: Sequence[_Seen], source: Path) -> DataError:
    held = [f"{code} in {_listed(files)}" for code, files in ((3, three), (4, four)) if files]
    choices = "brats2018 (4 is enhancing tumour), brats2023 (3 is) or brats2024 (3 is, and 4 is a resection cavity)"
    return DataError(
        f"{shown(source)}: label codes contradict: {naming.why}, but {', '.join(held)}: choose with --labels {choices}"
    )


def _listed(files: Sequence[_Seen]) -> str:
    names = ", ".join(file.path.name for file in files[:_SHOWN])
    return names + (f" and {len(files) - _SHOWN} more" if len(files) > _SHOWN else "")


def _holding(code: int, seen: Sequence[_Seen]) -> list[_Seen]:
    return [file for file in seen if code in file.codes]


def _spread(labelled: Sequence[Source]) -> list[Source]:
    if len(labelled) <= _MOST:
        return list(labelled)
    return [labelled[round(index * (len(labelled) - 1) / (_MOST - 1))] for index in range(_MOST)]


def _survey(chosen: Sequence[Source]) -> list[_Seen]:
    """What each segmentation holds; those that cannot be read, or hold other codes, are for the import to tell of."""
    from limbeck.data.volume import read_labels  # noqa: PLC0415 - nibabel, which help does without

    seen = []
    for source in chosen:
        try:
            # In this scheme each of the codes 0 to 4 is itself.
            labels, _ = read_labels(source, CANONICAL_SCHEME)
        except DataError:
            continue
        codes = frozenset(np.flatnonzero(np.bincount(labels.ravel(), minlength=5)).tolist()) - {0}
        seen.append(_Seen(source.path, codes, _outer(labels) if {1, 2} <= codes and 4 not in codes else 0))
    return seen


def _outer(labels: NDArray[np.uint8]) -> int:
    """Which of 1 and 2 has more faces on the background: oedema lies around the core. 0 if they have as many."""
    inside = np.argwhere(labels)
    low, high = inside.min(axis=0), inside.max(axis=0)
    block = np.pad(labels[tuple(slice(start, stop + 1) for start, stop in zip(low, high, strict=True))], 1)
    faces = np.zeros(3, np.int64)
    for axis in range(3):
        here, there = np.swapaxes(block, 0, axis)[:-1], np.swapaxes(block, 0, axis)[1:]
        for one, other in ((here, there), (there, here)):
            faces += np.bincount(one[other == 0].ravel(), minlength=5)[:3]
    return 0 if faces[1] == faces[2] else 1 if faces[1] > faces[2] else 2
