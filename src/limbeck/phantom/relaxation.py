"""Relaxation times and proton densities of the tissues, and how they differ from patient to patient.

Sources. White matter, cortex and putamen, T1: Wright et al., MAGMA 2008;21:121 (646, 1197 and 1084 ms at 1.5 T; 838,
1607 and 1332 ms at 3 T, MPRAGE). T2 of white and grey matter: Stanisz et al., Magn Reson Med 2005;54:507 (72 and 95 ms
at 1.5 T; 69 and 99 ms at 3 T). Water content as proton density: Wansapura et al., J Magn Reson Imaging 1999;9:531.
T1 differs widely between methods (Asslaender, arXiv:2409.05318, finds 0.6 to 1.1 s for white matter at 3 T), which the
jitter between patients covers. Tumour and oedema lengthen both times by factors of about 1.3 to 3: Just and Thelen,
Radiology 1988;169:779; relaxometry of malignant gliomas, Blystad et al., Sci Rep 2020;10:17954. Relaxivity of
gadolinium agents in plasma: Szomolanyi et al., Invest Radiol 2019;54:559 (r1 3.0 to 5.0 L/mmol/s at 1.5 and 3 T).
The values between the cited ones (fluid of cysts, blood products, calcification) are rounded, textbook-like choices.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np


class Tissue(IntEnum):
    """What a voxel can be made of; the value is the row in every table of tissues."""

    WHITE = 0
    GREY = 1
    DEEP = 2
    FLUID = 3
    OEDEMA_WATER = 4
    SOLID = 5
    NECROSIS = 6
    CYST = 7
    BLOOD_PRODUCT = 8
    CALCIUM = 9
    VESSEL = 10
    DURA = 11


@dataclass(frozen=True)
class Relaxation:
    """Constants of one patient's tissues at one field strength.

    Attributes:
        t1: `[tissues]`, ms.
        t2: `[tissues]`, ms.
        density: `[tissues]`, proton density relative to water.
    """

    t1: np.ndarray
    t2: np.ndarray
    density: np.ndarray


# T1 at 1.5 T, T1 at 3 T, T2 at 1.5 T, T2 at 3 T, proton density, spread between patients (sd of the log).
_TABLE: dict[Tissue, tuple[float, float, float, float, float, float]] = {
    Tissue.WHITE: (650, 850, 74, 70, 0.70, 0.05),
    Tissue.GREY: (1150, 1500, 90, 86, 0.81, 0.05),
    Tissue.DEEP: (980, 1280, 84, 80, 0.78, 0.06),
    Tissue.FLUID: (4000, 4200, 1000, 900, 1.00, 0.02),
    Tissue.OEDEMA_WATER: (2400, 2800, 360, 330, 0.96, 0.15),
    Tissue.SOLID: (1350, 1650, 135, 130, 0.86, 0.14),
    Tissue.NECROSIS: (1900, 2200, 200, 190, 0.92, 0.18),
    Tissue.CYST: (2700, 3000, 550, 500, 0.98, 0.20),
    Tissue.BLOOD_PRODUCT: (480, 560, 60, 50, 0.80, 0.20),
    Tissue.CALCIUM: (1100, 1300, 40, 35, 0.35, 0.15),
    Tissue.VESSEL: (1500, 1700, 45, 35, 0.60, 0.20),
    Tissue.DURA: (1000, 1200, 45, 42, 0.60, 0.15),
}


def draw(rng: np.random.Generator, field_tesla: float) -> Relaxation:
    """One patient's constants at 1.5 or 3 T: the table, each number moved by its spread."""
    rows = np.array([_TABLE[tissue] for tissue in Tissue])
    high = field_tesla > 2
    spread = rows[:, 5]
    t1 = rows[:, 1 if high else 0] * np.exp(spread * rng.standard_normal(len(Tissue)))
    t2 = rows[:, 3 if high else 2] * np.exp(spread * rng.standard_normal(len(Tissue)))
    density = np.clip(rows[:, 4] * np.exp(0.25 * spread * rng.standard_normal(len(Tissue))), 0.2, 1.0)
    # Grey is never whiter than white matter: the order of the two is what every sequence shows.
    t1[Tissue.GREY] = max(t1[Tissue.GREY], 1.45 * t1[Tissue.WHITE])
    t2[Tissue.GREY] = max(t2[Tissue.GREY], 1.15 * t2[Tissue.WHITE])
    return Relaxation(t1, t2, density)


def watery(relaxation: Relaxation, dry: Tissue, water: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """T1, T2 and density of a tissue of which the share `water` is oedema fluid."""
    return blended(relaxation, dry, Tissue.OEDEMA_WATER, water)


def blended(
    relaxation: Relaxation, one: Tissue, other: Tissue, share: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """T1, T2 and density of a tissue of which a share is another, in fast exchange: rates add."""
    t1 = 1 / ((1 - share) / relaxation.t1[one] + share / relaxation.t1[other])
    t2 = 1 / ((1 - share) / relaxation.t2[one] + share / relaxation.t2[other])
    density = (1 - share) * relaxation.density[one] + share * relaxation.density[other]
    return t1, t2, density
