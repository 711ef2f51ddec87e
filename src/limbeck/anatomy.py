"""The words that everybody uses: sequences, their subsets, tissue labels and tumour regions.

Identify a sequence by its role, never by its position: at least five channel orders are in use. The value of a
`Modality` is its channel in every array of this package.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from itertools import combinations
from types import MappingProxyType
from typing import TypeAlias

from limbeck.errors import UsageError


class Modality(IntEnum):
    """An MRI sequence; its value is the channel it occupies, everywhere."""

    FLAIR = 0
    T1 = 1
    T1CE = 2
    T2 = 3

    @property
    def role(self) -> str:
        """The one spelling that goes out: `flair`, `t1`, `t1ce` or `t2`."""
        return self.name.lower()

    @property
    def title(self) -> str:
        """The sequence's name for people: `FLAIR`, `T1`, `T1ce` or `T2`."""
        return ("FLAIR", "T1", "T1ce", "T2")[self]

    @classmethod
    def parse(cls, text: str) -> Modality:
        """The sequence that a role name or a usual alias stands for, whatever its case.

        Raises:
            UsageError: the name is not known; the message names the nearest.
        """
        key = text.strip().lower().replace("-", "").replace("_", "")
        if key in MODALITY_ALIASES:
            return MODALITY_ALIASES[key]
        near = difflib.get_close_matches(key, MODALITY_ALIASES, n=1, cutoff=0.4)
        hint = f"; did you mean {MODALITY_ALIASES[near[0]].role!r}?" if near else ""
        if "," in text:
            hint = "; a subset of several is written with +, as in flair+t1ce"
        raise UsageError(f"unknown sequence {text!r}: expected flair, t1, t1ce or t2{hint}")


MODALITY_ALIASES: MappingProxyType[str, Modality] = MappingProxyType(
    {
        **dict.fromkeys(("flair", "fl", "t2f", "t2flair"), Modality.FLAIR),
        **dict.fromkeys(("t1", "t1n", "t1w"), Modality.T1),
        **dict.fromkeys(("t1ce", "t1c", "t1gd", "t1post", "t1cew", "cet1w"), Modality.T1CE),
        **dict.fromkeys(("t2", "t2w"), Modality.T2),
    }
)


class Subset(frozenset[Modality]):
    """A non-empty set of sequences, written in canonical order: `flair+t1ce`."""

    def __new__(cls, modalities: Iterable[Modality]) -> Subset:
        """Collect the members.

        Raises:
            UsageError: there are none.
        """
        members = frozenset(modalities)
        if not members:
            raise UsageError("a subset needs at least one sequence of flair, t1, t1ce, t2")
        return super().__new__(cls, members)

    @classmethod
    def parse(cls, text: str) -> Subset:
        """Read `t1ce`, `t2f+t1c` or `all`.

        Raises:
            UsageError: a name is unknown or stands twice.
        """
        if text.strip().lower() == "all":
            return cls(Modality)
        members = [Modality.parse(part) for part in text.split("+")]
        if len(set(members)) < len(members):
            raise UsageError(f"subset {text!r} names a sequence twice")
        return cls(members)

    @classmethod
    def every(cls) -> tuple[Subset, ...]:
        """All 15 subsets, the small ones first, each size in canonical order."""
        return tuple(cls(chosen) for size in range(1, 5) for chosen in combinations(Modality, size))

    @property
    def channels(self) -> tuple[int, ...]:
        """Channel numbers of the members, ascending."""
        return tuple(sorted(int(modality) for modality in self))

    def mask(self) -> tuple[bool, bool, bool, bool]:
        """Membership by channel."""
        return (Modality.FLAIR in self, Modality.T1 in self, Modality.T1CE in self, Modality.T2 in self)

    def within(self, present: Sequence[bool]) -> bool:
        """Whether every member is there, of `[4]` flags by channel."""
        return all(present[modality] for modality in self)

    def __str__(self) -> str:
        return "+".join(modality.role for modality in sorted(self))

    def __repr__(self) -> str:
        return f"Subset({self})"


class Label(IntEnum):
    """A voxel's tissue in this package's own codes; importers translate every other convention to these."""

    BACKGROUND = 0
    NECROTIC_CORE = 1
    OEDEMA = 2
    ENHANCING = 3
    RESECTION_CAVITY = 4

    @property
    def title(self) -> str:
        """The label's name in words."""
        return self.name.lower().replace("_", " ")


# A data set's label codes: the code in the file, and the label it means.
LabelScheme: TypeAlias = Mapping[int, Label]

LABEL_SCHEMES: MappingProxyType[str, LabelScheme] = MappingProxyType(
    {
        # BraTS 2018 to 2022: enhancing tumour is 4, and 3 is not used.
        "brats2018": {0: Label.BACKGROUND, 1: Label.NECROTIC_CORE, 2: Label.OEDEMA, 4: Label.ENHANCING},
        "brats2023": {0: Label.BACKGROUND, 1: Label.NECROTIC_CORE, 2: Label.OEDEMA, 3: Label.ENHANCING},
        # BraTS 2024, after treatment: 4 is the resection cavity.
        "brats2024": {
            0: Label.BACKGROUND,
            1: Label.NECROTIC_CORE,
            2: Label.OEDEMA,
            3: Label.ENHANCING,
            4: Label.RESECTION_CAVITY,
        },
        # Medical Segmentation Decathlon Task01 and nnU-Net's export of BraTS 2021: oedema first.
        "msd": {0: Label.BACKGROUND, 1: Label.OEDEMA, 2: Label.NECROTIC_CORE, 3: Label.ENHANCING},
    }
)
# In which every label is its own code: what this package keeps is coded so.
CANONICAL_SCHEME = "brats2024"


class Region(IntEnum):
    """A nested evaluation region; its value is its channel in region outputs."""

    WT = 0
    TC = 1
    ET = 2

    @property
    def labels(self) -> frozenset[Label]:
        """The labels that make up the region. The resection cavity counts in none."""
        return _REGION_LABELS[self]

    @property
    def title(self) -> str:
        """The region's name in words."""
        return ("whole tumour", "tumour core", "enhancing tumour")[self]


_REGION_LABELS = {
    Region.WT: frozenset({Label.NECROTIC_CORE, Label.OEDEMA, Label.ENHANCING}),
    Region.TC: frozenset({Label.NECROTIC_CORE, Label.ENHANCING}),
    Region.ET: frozenset({Label.ENHANCING}),
}
