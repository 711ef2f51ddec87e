"""The contrast of normal and sick tissue follows from the equations, whatever the settings."""

from __future__ import annotations

import numpy as np
import pytest

from limbeck.anatomy import Modality
from limbeck.phantom import relaxation, signal
from limbeck.phantom.relaxation import Tissue
from limbeck.phantom.signal import Sequence


def medians(modality: Modality) -> dict[Tissue, float]:
    """Median signal of each tissue over many examinations, white matter as one."""
    rows = []
    for seed in range(80):
        rng = np.random.default_rng(seed)
        protocol = signal.draw(rng)
        constants = relaxation.draw(rng, protocol.field_tesla)
        times = (constants.t1, constants.t2, constants.density)
        levels = signal.intensity(protocol.sequences[modality], times)
        rows.append(levels / levels[Tissue.WHITE])
    return dict(zip(Tissue, np.median(rows, axis=0).tolist(), strict=True))


def test_t1_orders_white_grey_fluid() -> None:
    t1 = medians(Modality.T1)
    assert 1 > t1[Tissue.DEEP] > t1[Tissue.GREY] > t1[Tissue.FLUID]
    assert t1[Tissue.BLOOD_PRODUCT] > 1 > t1[Tissue.SOLID]


def test_t2_orders_fluid_grey_white() -> None:
    t2 = medians(Modality.T2)
    assert t2[Tissue.FLUID] > t2[Tissue.SOLID] > t2[Tissue.GREY] > 1
    assert t2[Tissue.BLOOD_PRODUCT] < t2[Tissue.GREY]


def test_flair_nulls_fluid_and_keeps_tissue() -> None:
    flair = medians(Modality.FLAIR)
    assert flair[Tissue.SOLID] > flair[Tissue.GREY] > 1
    assert flair[Tissue.FLUID] < 0.5


def test_oedema_brightens_flair_and_t2_and_darkens_t1() -> None:
    rng = np.random.default_rng(2)
    constants = relaxation.draw(rng, 3.0)
    water = np.array([0.0, 0.25, 0.5])
    times = relaxation.watery(constants, Tissue.WHITE, water)
    protocol = signal.draw(rng)
    for modality, sign in ((Modality.FLAIR, 1), (Modality.T2, 1), (Modality.T1, -1)):
        levels = signal.intensity(protocol.sequences[modality], times)
        assert (sign * np.diff(levels) > 0).all(), modality


def test_spin_echo_matches_its_closed_form() -> None:
    level = signal.intensity(Sequence("spin", 500.0, 20.0), (np.array(1000.0), np.array(100.0), np.array(0.8)))
    assert float(level) == pytest.approx(0.8 * (1 - 0.6065306597) * 0.8187307531, rel=1e-6)


def test_spoiled_echo_is_strongest_at_the_ernst_angle() -> None:
    times = (np.array(900.0), np.array(80.0), np.array(1.0))
    ernst = float(np.rad2deg(np.arccos(np.exp(-20 / 900.0))))
    at = [
        float(signal.intensity(Sequence("spoiled", 20.0, 3.0, 0.0, a), times))
        for a in (0.8 * ernst, ernst, 1.25 * ernst)
    ]
    assert at[1] > at[0]
    assert at[1] > at[2]


@pytest.mark.parametrize(
    "sequence",
    [
        Sequence("spin", 550.0, 12.0),
        Sequence("mprage", 2000.0, 3.0, 950.0, 9.0),
        Sequence("spoiled", 15.0, 4.0, 0.0, 25.0),
    ],
)
def test_gadolinium_brightens_every_kind_of_t1_weighting(sequence: Sequence) -> None:
    times = (np.array(1500.0), np.array(120.0), np.array(0.86))
    doses = [
        float(signal.intensity(sequence, signal.enhanced(times, (4.0, 5.0), np.array(c)))) for c in (0.0, 0.2, 0.5)
    ]
    assert doses == sorted(doses)
    assert doses[2] > 1.25 * doses[0]
