"""What a file is by its name in the style of BraTS: the case, and then its role, in one word or two.

`P1_t1ce` is of case P1, and so are `P1_ce_T1`, `P1_T2_FLAIR` and `P1_flair_seg`. But a case may as well be called
P1_post or P1_T2: where several sequences share a word before the role, the word belongs to the case.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path

from limbeck.anatomy import MODALITY_ALIASES, Modality
from limbeck.data.source import shown, stem, suffix

_SEGMENTATION = ("seg", "segm")
# What other layouts call their images begins so.
_BIDS = "sub-"
_AFTER = r"(?:post[_-]?)?contrast|post|ce|gd|gad(?:o(?:linium)?)?"
_BEFORE = r"pre(?:[_-]?contrast)?"
_SEQUENCES = "|".join(MODALITY_ALIASES)
_PLAIN = re.compile(r"(?P<case>.+)[_-](?P<role>[A-Za-z0-9]+)")
# The case is as short as can be, so that all words which can be are the sequence's.
_JOINT = re.compile(
    r"(?:(?P<case>.+?)[_-])?"
    rf"(?:(?P<T1>(?:{_BEFORE})[_-]t1w?|t1w?[_-](?:{_BEFORE}))"
    rf"|(?P<T1CE>(?:{_AFTER})[_-]t1w?|t1w?[_-](?:{_AFTER}))"
    r"|(?P<FLAIR>t2w?[_-]flair))",
    re.IGNORECASE,
)
_MARKED = re.compile(rf"(?:(?P<case>.+?)[_-])?(?:{_AFTER}|{_BEFORE}|(?P<sequence>{_SEQUENCES}))", re.IGNORECASE)
_DRAWN_ON = re.compile(rf"(?P<case>.+?)(?:[_-](?:{_AFTER}|{_BEFORE}|{_SEQUENCES}))+", re.IGNORECASE)


@dataclass(frozen=True)
class Image:
    """A sequence of a case; `word` is the one word that says which, in lower case, and empty where several do."""

    path: Path
    case: str
    modality: Modality
    word: str = ""


@dataclass(frozen=True)
class Named:
    """What the names of files say.

    Attributes:
        images: the sequences.
        segmentations: the others, with what their case may be called, the likeliest first.
        problems: a line for each name that leaves open what the file is.
        others: volumes that do not follow the pattern.
    """

    images: list[Image] = field(default_factory=list)
    segmentations: list[tuple[Path, tuple[str, ...]]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)


def is_sequence(path: Path) -> bool:
    """Whether a file is named as a sequence of a case."""
    plain = _plain(path)
    return plain is not None and (plain[1] in MODALITY_ALIASES or _joint(path)[0] != "")


def named(paths: Iterable[Path]) -> Named:
    """Case and role of every file whose name follows the pattern."""
    found = Named()
    plain: list[tuple[Path, str, str]] = []
    sharing: dict[str, set[Modality]] = defaultdict(set)
    for path in paths:
        case, word = _plain(path) or ("", "")
        if word in _SEGMENTATION:
            drawn_on = _DRAWN_ON.fullmatch(case)
            found.segmentations.append((path, (case, drawn_on["case"]) if drawn_on else (case,)))
        elif word in MODALITY_ALIASES:
            plain.append((path, case, word))
            sharing[case].add(MODALITY_ALIASES[word])
        elif suffix(path):
            joint_case, modality = _joint(path) if word else ("", None)
            if joint_case and modality is not None:
                found.images.append(Image(path, joint_case, modality))
                sharing[joint_case].add(modality)
            else:
                found.others.append(path)
    for path, case, word in plain:
        image = _image(path, case, word, sharing)
        if image is not None:
            found.images.append(image)
        else:
            found.problems.append(
                f"{shown(path)}: its name leaves open which sequence of which case it is: "
                "name it by the case and one word, such as P001_t1ce, or list the files in a table"
            )
    return found


def _plain(path: Path) -> tuple[str, str] | None:
    """A name without its last word, and that word in lower case; None if it has no two words, or is no volume's."""
    match = _PLAIN.fullmatch(stem(path)) if suffix(path) and not path.name.startswith(_BIDS) else None
    return (match["case"], match["role"].lower()) if match else None


def _joint(path: Path) -> tuple[str, Modality | None]:
    """Case and sequence of a name with two words for the sequence; the case may be missing."""
    match = _JOINT.fullmatch(stem(path))
    if match is None or match.lastgroup is None:
        return "", None
    return match["case"] or "", Modality[match.lastgroup]


def _image(path: Path, case: str, word: str, sharing: Mapping[str, Set[Modality]]) -> Image | None:
    """What a file is whose last word is a sequence's; None if that is open.

    Args:
        path: the file.
        case: its name without the last word.
        word: the last word.
        sharing: the sequences of names that differ in the last word alone, by what they share.
    """
    image = Image(path, case, MODALITY_ALIASES[word], word)
    joint_case, modality = _joint(path)
    if len(sharing[case]) > 1:
        # Beside P1_gd_t1ce, P1_gd_t1 is a T1 of P1_gd. Beside P1_gd_t2 alone, it may be the T1ce of P1.
        return image if modality is not Modality.T1CE or Modality.T1CE in sharing[case] else None
    if modality is not None:
        return Image(path, joint_case, modality) if joint_case else None
    marked = _MARKED.fullmatch(case)
    if marked is None:
        return image
    # P1_post_flair is what P1 lacks, or all that there is of P1_post.
    parted = image.modality not in sharing.get(marked["case"] or "", {image.modality})
    return None if marked["sequence"] or parted else image
