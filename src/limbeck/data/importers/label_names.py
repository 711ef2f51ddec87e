"""Names of labels in the files that describe data sets, and the label scheme that they make up."""

from __future__ import annotations

import re
from collections.abc import Mapping

from limbeck.anatomy import LABEL_SCHEMES, Label

_ABBREVIATIONS = {
    **dict.fromkeys(("bg", "0"), Label.BACKGROUND),
    **dict.fromkeys(("ncr", "net", "ncr/net", "netc"), Label.NECROTIC_CORE),
    **dict.fromkeys(("ed", "snfh"), Label.OEDEMA),
    **dict.fromkeys(("et", "at"), Label.ENHANCING),
    "rc": Label.RESECTION_CAVITY,
}
# The telling words first: the hyperintensity in FLAIR is called non-enhancing too, and "non-enhancing" holds
# "enhancing".
_WORDS = (
    ("background", Label.BACKGROUND),
    ("edema", Label.OEDEMA),
    ("oedema", Label.OEDEMA),
    ("hyperintens", Label.OEDEMA),
    ("resection", Label.RESECTION_CAVITY),
    ("non enhancing", Label.NECROTIC_CORE),
    ("nonenhancing", Label.NECROTIC_CORE),
    ("necro", Label.NECROTIC_CORE),
    ("enhancing", Label.ENHANCING),
)


def meaning(name: str) -> Label | None:
    """The tissue that a label's name stands for, such as `edema` or `NCR/NET`; None if it is not understood."""
    text = re.sub(r"[\s_-]+", " ", name.lower()).strip()
    if text in _ABBREVIATIONS:
        return _ABBREVIATIONS[text]
    return next((label for word, label in _WORDS if word in text), None)


def scheme_of(codes: Mapping[int, Label]) -> str | None:
    """The label scheme (`anatomy.LABEL_SCHEMES`) with just these codes, background or not; None if there is none."""
    wanted = {0: Label.BACKGROUND, **codes}
    return next((name for name, known in LABEL_SCHEMES.items() if wanted == dict(known)), None)
