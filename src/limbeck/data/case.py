"""A case as a data set holds it: who it is, and where its files lie. Nothing is read here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from limbeck.anatomy import Modality
from limbeck.data.source import Source

__all__ = ["Case", "Source"]


@dataclass(frozen=True)
class Case:
    """One examination of one patient.

    Attributes:
        id: name of the case, unique in its data set and fit for a folder's name.
        patient: who was examined; several cases may share a patient, and a split never parts them.
        images: the sequences that are there; a sequence that is missing has no entry.
        labels: the segmentation, or None.
    """

    id: str
    patient: str
    images: Mapping[Modality, Source]
    labels: Source | None = None

    @property
    def present(self) -> tuple[bool, bool, bool, bool]:
        """Which sequences are there, in channel order."""
        return (
            Modality.FLAIR in self.images,
            Modality.T1 in self.images,
            Modality.T1CE in self.images,
            Modality.T2 in self.images,
        )
