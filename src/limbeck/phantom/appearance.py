"""From shares of tissue to the signal of each sequence, before the scanner's own faults.

Every voxel's signal is the sum over its tissues, each with the signal that the equations give for its relaxation
times, its water and its gadolinium. On top of the physics each tissue's signal is moved a little for each sequence
(domain randomisation): no two scanners agree, and a network must not lean on one contrast.
"""

from __future__ import annotations

import numpy as np

from limbeck.anatomy import Modality
from limbeck.phantom import relaxation, signal
from limbeck.phantom.cavity import Cavity
from limbeck.phantom.field import Field, Lattice, grain, noise, soft
from limbeck.phantom.head import Head
from limbeck.phantom.mimics import Mimics
from limbeck.phantom.relaxation import Relaxation, Tissue
from limbeck.phantom.signal import Protocol, Times
from limbeck.phantom.tumour import Plan, Tumour

# Pulses for neighbouring slices saturate the water that is bound to macromolecules, and with it the tissue's signal: up
# to a fifth of white matter's in spin echo, less where there is less myelin (Melki and Mulkern, Magn Reson Med
# 1992;24:189), so that grey and white matter are hard to tell apart there.
MOST_SATURATED = 0.2
BOUND_WATER = {Tissue.WHITE: 1.0, Tissue.DEEP: 0.75, Tissue.GREY: 0.6, Tissue.SOLID: 0.35}


class Palette:
    """The signal of anything in one sequence of one examination, relative to normal white matter.

    Args:
        rng: source of the jitter by tissue.
        constants: the patient's relaxation times.
        protocol: the examination's settings.
        modality: the sequence.
    """

    def __init__(self, rng: np.random.Generator, constants: Relaxation, protocol: Protocol, modality: Modality) -> None:
        self.sequence = protocol.sequences[modality]
        self.relaxivity = protocol.relaxivity if modality is Modality.T1CE else (0.0, 0.0)
        self.jitter = np.exp(rng.normal(0, 0.03, len(Tissue)))
        self.jitter[[Tissue.OEDEMA_WATER, Tissue.SOLID, Tissue.NECROSIS, Tissue.CYST]] **= 2.5
        self.jitter[[Tissue.FLUID, Tissue.VESSEL, Tissue.DURA]] **= 5
        saturation = rng.uniform(0.0, MOST_SATURATED)
        if self.sequence.kind == "spin" and modality is not Modality.T2:
            for tissue, share in BOUND_WATER.items():
                self.jitter[tissue] *= 1 - share * saturation
        self.constants = constants
        self.unit = 1.0
        self.unit = float(self.of(Tissue.WHITE, 0.02)[()])

    def of(self, tissue: Tissue, millimolar: float | np.ndarray = 0.0) -> np.ndarray:
        """Signal of one tissue that holds so much gadolinium; an array where `millimolar` is one."""
        times = (self.constants.t1[tissue], self.constants.t2[tissue], self.constants.density[tissue])
        return np.asarray(self.mixed(times, np.asarray(millimolar, dtype=float)) * self.jitter[tissue])

    def mixed(self, times: Times, millimolar: np.ndarray) -> np.ndarray:
        """Signal of tissue with the given T1, T2 and density."""
        return signal.intensity(self.sequence, signal.enhanced(times, self.relaxivity, millimolar)) / self.unit


class Painter:
    """Paints one patient sequence by sequence; what the sequences share is drawn once."""

    def __init__(
        self,
        rng: np.random.Generator,
        own: Plan,
        parts: tuple[Head, Tumour, Mimics],
        target: Lattice,
        cavity: Cavity | None = None,
    ) -> None:
        self.head, self.tumour, self.mimics = parts
        self.cavity = cavity
        self.target = target
        self.protocol = signal.draw(rng)
        self.constants = relaxation.draw(rng, self.protocol.field_tesla)
        self.dose = float(np.exp(rng.uniform(np.log(0.13), np.log(0.65))))
        self.uneven_dose = float(rng.uniform(0.2, 0.7))
        self.leak = float(rng.uniform(0.0, 0.12))
        self.vessel_dose, self.dura_dose, self.choroid_dose = rng.uniform((1.0, 0.2, 0.2), (5.0, 1.6, 1.2))
        self.solid_water = float(rng.uniform(0.0, 0.6 if own.habit == "plain" else 0.3))
        self.solid_grain = float(rng.uniform(0.05, 0.3))
        self.cyst = 1.0 if own.habit == "cystic" else float(rng.choice([0.0, rng.uniform(0, 1)], p=[0.65, 0.35]))
        specks = grain(rng, 3.0, target)
        self.blood = specks - 0.6 * self.tumour.grain > rng.uniform(2.0, 3.0) if rng.random() < 0.25 else None
        self.chalk = specks + 0.6 * self.tumour.grain < -rng.uniform(2.2, 3.0) if rng.random() < 0.1 else None
        self.water = np.maximum(self.tumour.water, self.mimics.water)
        self.wet = np.flatnonzero((self.water > 0.01) & self.head.mask)
        self.cored = np.flatnonzero(self.tumour.core > 0.01)

    def paint(self, rng: np.random.Generator, modality: Modality) -> Field:
        """The noiseless signal of one sequence, white matter near 1, `[X,Y,Z]`."""
        palette = Palette(rng, self.constants, self.protocol, modality)
        head = self.head
        # A little gadolinium stays in the blood of normal tissue.
        image = head.white * np.float32(palette.of(Tissue.WHITE, 0.02))
        image += head.grey * np.float32(palette.of(Tissue.GREY, 0.05)) * self._regions(rng)
        image += head.deep * np.float32(palette.of(Tissue.DEEP, 0.04))
        image *= self._mottle(rng)
        image += head.fluid * np.float32(palette.of(Tissue.FLUID))
        self._oedema(image, palette)
        self._core(image, palette, rng)
        self._rest(image, palette, modality, rng)
        if self.cavity is not None:
            self._hole(image, palette, self.cavity)
        return np.asarray(np.clip(image, 0, None), dtype=np.float32)

    def _regions(self, rng: np.random.Generator) -> Field:
        """Cortex differs by lobe: limbic cortex and the cerebellum are brighter or darker than the rest."""
        spread = np.float32(rng.uniform(0.0, 0.13))
        level = 1 + spread * noise(rng, 20.0, self.target)
        level += np.float32(rng.normal(0, 0.08)) * soft(self.head.cerebellum, 4.0)
        return np.asarray(np.clip(level, 0.5, 1.6), dtype=np.float32)

    def _mottle(self, rng: np.random.Generator) -> Field:
        """Normal tissue is not uniform: fibres, iron and myelin differ from place to place."""
        wide, narrow = rng.uniform(0.01, 0.07), rng.uniform(0.0, 0.04)
        return np.asarray(
            1 + wide * noise(rng, 15.0, self.target) + narrow * grain(rng, 2.5, self.target), dtype=np.float32
        )

    def _oedema(self, image: Field, palette: Palette) -> None:
        """Add what the water in white, deep and grey matter changes."""
        water = self.water.ravel()[self.wet].astype(float)
        change = np.zeros_like(water)
        none = np.zeros(())
        for tissue, share in (
            (Tissue.WHITE, self.head.white),
            (Tissue.DEEP, self.head.deep),
            (Tissue.GREY, self.head.grey),
        ):
            wet = palette.mixed(relaxation.watery(self.constants, tissue, water), none)
            dry = palette.mixed(relaxation.watery(self.constants, tissue, np.zeros(1)), none)
            change += (wet * palette.jitter[Tissue.OEDEMA_WATER] ** water - dry) * share.ravel()[self.wet]
        image.ravel()[self.wet] += change.astype(np.float32)

    def _core(self, image: Field, palette: Palette, rng: np.random.Generator) -> None:
        """Replace the signal of brain by that of tumour, by share."""
        at = self.cored
        share, dead, alive, texture = (
            part.ravel()[at].astype(float)
            for part in (self.tumour.core, self.tumour.necrosis, self.tumour.enhancing, self.tumour.grain)
        )
        uneven = np.clip(1 + self.uneven_dose * texture, 0.15, 2.5)
        dose = self.dose * alive * uneven
        wet = np.clip(self.solid_water + self.solid_grain * texture, 0, 0.9)
        solid = palette.mixed(relaxation.watery(self.constants, Tissue.SOLID, wet), dose) * palette.jitter[Tissue.SOLID]
        necrosis = palette.of(Tissue.NECROSIS, self.leak * uneven)
        fluid = palette.of(Tissue.CYST, 0.3 * self.leak * uneven)
        hollow = ((1 - self.cyst) * necrosis + self.cyst * fluid) * (1 + 0.06 * texture)
        tumour = (1 - dead) * solid + dead * hollow
        if self.blood is not None:
            tumour = np.where(self.blood.ravel()[at], palette.of(Tissue.BLOOD_PRODUCT), tumour)
        if self.chalk is not None:
            tumour = np.where(self.chalk.ravel()[at], palette.of(Tissue.CALCIUM), tumour)
        flat = image.ravel()
        flat[at] = ((1 - share) * flat[at] + share * tumour).astype(np.float32)

    def _rest(self, image: Field, palette: Palette, modality: Modality, rng: np.random.Generator) -> None:
        """Choroid plexus, vessels, dura, and fluid that escaped the inversion."""
        # Blood that flows in fresh is brighter than the equations say, blood that flows on is darker.
        flow = rng.uniform(0.7, 1.7) if modality is Modality.T1CE else rng.uniform(0.4, 1.3)
        # Without gadolinium the small vessels hardly show.
        vessel = self.mimics.vessel * np.float32(1.0 if modality is Modality.T1CE else 0.4)
        # At the border of a stripped FLAIR all is found, from black to the brightest spots of the image.
        gain = float(np.exp(rng.uniform(np.log(0.4), np.log(12)))) if modality is Modality.FLAIR else 1.0
        layers = (
            (self.head.choroid, float(palette.of(Tissue.SOLID, self.choroid_dose)) * rng.uniform(0.7, 1.1)),
            (self.mimics.dura, float(palette.of(Tissue.DURA, self.dura_dose)) * gain),
            (vessel, float(palette.of(Tissue.VESSEL, self.vessel_dose)) * flow),
        )
        for share, level in layers:
            image += share * (np.float32(level) - image)
        if modality is Modality.FLAIR:
            image += self.mimics.glare

    def _hole(self, image: Field, palette: Palette, cavity: Cavity) -> None:
        """Paint a resection's scar, fluid and clots over what is there; draws nothing."""
        at = np.flatnonzero((cavity.hole > 0.01) | (cavity.scar > 0.01) | (cavity.clot > 0.01))
        hole, scar, clot, stain = (
            part.ravel()[at].astype(float) for part in (cavity.hole, cavity.scar, cavity.clot, cavity.stain)
        )
        times = relaxation.blended(self.constants, Tissue.FLUID, Tissue.BLOOD_PRODUCT, stain)
        # The jitter of clear fluid fades with the stain, as that of dry tissue does with water.
        fluid = palette.mixed(times, np.zeros(())) * palette.jitter[Tissue.FLUID] ** (1 - stain)
        flat = image.ravel()
        seen = flat[at].astype(float)
        for share, level in (
            (scar, palette.of(Tissue.SOLID, cavity.dose)),
            (hole, fluid),
            (clot, palette.of(Tissue.BLOOD_PRODUCT)),
        ):
            seen += share * (level - seen)
        flat[at] = seen.astype(np.float32)
