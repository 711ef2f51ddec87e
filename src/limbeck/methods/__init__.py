"""The closed list of methods. Naming them imports no torch; building one does."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from limbeck.errors import UsageError, nearest

if TYPE_CHECKING:
    from limbeck.methods.base import Context, Method


@dataclass(frozen=True)
class Entry:
    """What `limbeck methods` shows of a method, and where its class is found.

    Attributes:
        class_name: the class in the module of the method's own name.
        paper: the publication that the file can be read against, or that it has none.
        teacher: what teaches it.
        subsets: which subsets of the sequences it serves.
        status: how far it can be trusted to be the paper's.
        summary: the idea in a line.
    """

    class_name: str
    paper: str
    teacher: str
    subsets: str
    status: str
    summary: str


METHODS: dict[str, Entry] = {
    "supervised": Entry(
        "Supervised",
        "no paper: the yardstick",
        "none",
        "any one of the 15",
        "complete",
        "a network for a fixed subset: the teacher with all, the lower bound with few",
    ),
    "dropout": Entry(
        "Dropout",
        "no paper: the strong simple rival",
        "none",
        "all 15 with one network",
        "complete",
        "random sequence dropout: one network for whatever sequences exist",
    ),
    "gkd": Entry(
        "GKD",
        "Xiong, Shen, Wang, Electronics 2023, 12(7), 1516",
        "one frozen, all four sequences (supervised)",
        "any one of the 15 (paper: single sequences)",
        "complete, from the full text",
        "soft labels and cascade region attention from a frozen teacher",
    ),
    "pkdr_teacher": Entry(
        "PKDRTeacher",
        "Wang R. et al., ICASSP 2024, doi 10.1109/ICASSP48485.2024.10448218 (first stage)",
        "none",
        "any one of the 15 (paper: all four sequences)",
        "complete, from the full text",
        "a network regularised by saying which patches hold tumour: PKDR's teacher",
    ),
    "pkdr": Entry(
        "PKDR",
        "Wang R. et al., ICASSP 2024, doi 10.1109/ICASSP48485.2024.10448218",
        "one frozen, all four sequences (pkdr_teacher)",
        "any one of the 15 (paper: single sequences)",
        "complete, from the full text",
        "soft regions, soft patches and a contrast of patches from a frozen teacher",
    ),
    "rirn": Entry(
        "RIRN",
        "Su et al., Neural Networks 2024, 106657",
        "one co-trained, all four sequences",
        "any one of the 15",
        "complete, from the full text",
        "relations of regions and of positions, and a critic, from a teacher that learns beside the student",
    ),
    "mtcmkd": Entry(
        "MTCMKD",
        "Ahmad, Ullah, Gwak, Knowledge-Based Systems 297, 2024, 111854",
        "three co-trained, one of the other sequences each",
        "any single sequence (paper: t1ce and t1)",
        "complete, from the abstract and the authors' code",
        "soft labels of three teachers of one sequence each, weighted by performance, and of their fusion",
    ),
    "choi": Entry(
        "CHOI",
        "Choi et al., Computer Methods and Programs in Biomedicine 2023, 107644",
        "one co-trained, all four sequences",
        "any one of the 15 (paper: flair+t1ce)",
        "RECONSTRUCTION from the abstract",
        "Barlow twins between the latent spaces of teacher and student, which learn in one stage",
    ),
    "limbeck": Entry(
        "LIMBECK",
        "no paper: this project's own recipe",
        "one frozen generalist (dropout)",
        "any one of the 15",
        "complete",
        "the generalist's copy goes on as a specialist, held to nested regions and the generalist's soft labels",
    ),
}


def find(name: str) -> type[Method[Any]]:
    """The class of a method.

    Raises:
        UsageError: the name is not in the list; the message gives the nearest.
    """
    if name not in METHODS:
        known = ", ".join(METHODS)
        raise UsageError(f"unknown method {name!r}: expected one of {known}{nearest(name, METHODS)}")
    found: type[Method[Any]] = getattr(importlib.import_module(f"limbeck.methods.{name}"), METHODS[name].class_name)
    return found


def build(name: str, settings: Any, context: Context) -> Method[Any]:
    """Make a method with fresh weights; `settings` is an instance of the method's own `Settings`."""
    return find(name)(settings, context)
