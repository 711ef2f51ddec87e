"""Augmentation of whole batches on their device: parameters are drawn first, and applied without further chance.

What is drawn depends on the generator alone, so a step can be repeated from its seed. Spatial changes are the same
for all sequences and the labels; intensity changes are drawn for each sequence. Background stays exactly 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from limbeck.anatomy import Modality
from limbeck.errors import UsageError

BIAS_WAVES = 4  # cosines along each axis of a bias field: the slowest has half a period in the crop, or is constant
BLUR_REACH = 4.0  # standard deviations after which a Gaussian is cut
SLABS = 8  # parts of a crop that are resampled side by side, if its first side can be divided so
TINY = 1e-6  # below any spread of intensities that matters; keeps a division by a constant channel's range defined


@dataclass(frozen=True)
class Augmentation:
    """How often a change is made, and how far it goes. Ranges are smallest and largest; both may be the neutral value.

    Intensities are z-scored in the brain, so shifts and noise are in standard deviations of the brain.

    Attributes:
        flip_probability: of mirroring, for each axis of each sample.
        affine_probability: of a rotation and a change of scale, for each sample; the only change that resamples.
        rotation_degrees: largest angle about each axis, either way.
        scale: magnification.
        bias_probability: of a smooth multiplicative field, for each sequence, as are all that follow.
        bias_log_gain: the field's largest `|log gain|`.
        gamma_probability: of a power law on the brain's own range; mean and spread are kept.
        gamma: its exponent.
        blur_probability: of a Gaussian blur.
        blur_voxels: its standard deviation.
        slice_probability: of thick slices along one axis.
        slice_voxels: their thickness.
        noise_probability: of additive Gaussian noise.
        noise_std: its standard deviation.
        contrast_probability: of a stretch about the brain's mean.
        contrast: its factor.
        brightness_probability: of a shift.
        brightness: its amount.
    """

    flip_probability: float = 0.5
    affine_probability: float = 0.3
    rotation_degrees: float = 15.0
    scale: tuple[float, float] = (0.85, 1.18)
    bias_probability: float = 0.15
    bias_log_gain: tuple[float, float] = (0.1, 0.4)
    gamma_probability: float = 0.15
    gamma: tuple[float, float] = (0.7, 1.4)
    blur_probability: float = 0.1
    blur_voxels: tuple[float, float] = (0.5, 1.0)
    slice_probability: float = 0.1
    slice_voxels: tuple[float, float] = (1.5, 4.0)
    noise_probability: float = 0.15
    noise_std: tuple[float, float] = (0.02, 0.15)
    contrast_probability: float = 0.15
    contrast: tuple[float, float] = (0.8, 1.25)
    brightness_probability: float = 0.15
    brightness: tuple[float, float] = (-0.2, 0.2)

    def __post_init__(self) -> None:
        """Check every setting.

        Raises:
            UsageError: a probability lies outside `[0, 1]`, a range runs backwards, or a ratio is not above 0.
        """
        for name in (field.name for field in fields(self)):
            value = getattr(self, name)
            if name.endswith("_probability"):
                _expect(0 <= value <= 1, name, value, "a probability from 0 to 1")
            elif isinstance(value, tuple | list):
                _expect(len(value) == 2 and value[0] <= value[1], name, value, "smallest and largest")
        for name in ("scale", "gamma", "contrast"):
            _expect(getattr(self, name)[0] > 0, name, getattr(self, name), "values above 0")
        _expect(self.rotation_degrees >= 0, "rotation_degrees", self.rotation_degrees, "at least 0")
        for name in ("bias_log_gain", "blur_voxels", "noise_std"):
            _expect(getattr(self, name)[0] >= 0, name, getattr(self, name), "values of at least 0")
        _expect(self.slice_voxels[0] >= 1, "slice_voxels", self.slice_voxels, "values of at least 1")

    @classmethod
    def off(cls) -> Augmentation:
        """Settings that change nothing: every probability is 0."""
        return cls(**{field.name: 0.0 for field in fields(cls) if field.name.endswith("_probability")})  # type: ignore[arg-type]


def _expect(holds: bool, name: str, value: object, expected: str) -> None:
    if not holds:
        raise UsageError(f"augmentation setting {name} = {value}: expected {expected}")


@dataclass(frozen=True)
class Parameters:
    """What is done to each sample and sequence; neutral values do nothing at all. Small, and always on the CPU.

    Attributes:
        flips: `[B,3]` bool, axes D, H, W.
        rotation_degrees: `[B,3]` about the axes D, H, W; neutral 0.
        scale: `[B]` magnification; neutral 1.
        bias_log_gain: `[B,C]`; neutral 0.
        bias_waves: `[B,C,4,4,4]` coefficients of cosines along D, H, W.
        gamma: `[B,C]`; neutral 1.
        blur_voxels: `[B,C]`; neutral 0.
        slice_voxels: `[B,C]`; neutral 1.
        slice_axis: `[B,C]` 0, 1 or 2.
        noise_std: `[B,C]`; neutral 0.
        noise_seed: `[B,C]`, of each sequence's noise.
        contrast: `[B,C]`; neutral 1.
        brightness: `[B,C]`; neutral 0.
    """

    flips: Tensor
    rotation_degrees: Tensor
    scale: Tensor
    bias_log_gain: Tensor
    bias_waves: Tensor
    gamma: Tensor
    blur_voxels: Tensor
    slice_voxels: Tensor
    slice_axis: Tensor
    noise_std: Tensor
    noise_seed: Tensor
    contrast: Tensor
    brightness: Tensor

    @classmethod
    def identity(cls, batch_size: int, channels: int = len(Modality)) -> Parameters:
        """Parameters that leave a batch as it is."""
        return draw(Augmentation.off(), batch_size, torch.Generator().manual_seed(0), channels)

    def of(self, samples: slice) -> Parameters:
        """Those of some samples."""
        return Parameters(**{item.name: getattr(self, item.name)[samples] for item in fields(self)})

    def of_sequences(self, channels: Sequence[int]) -> Parameters:
        """Those of some sequences."""
        chosen = {field.name: getattr(self, field.name) for field in fields(self)}
        for name in chosen.keys() - {"flips", "rotation_degrees", "scale"}:
            chosen[name] = chosen[name][:, list(channels)]
        return Parameters(**chosen)


def draw(
    settings: Augmentation, batch_size: int, generator: torch.Generator, channels: int = len(Modality)
) -> Parameters:
    """Parameters for a batch, from a CPU generator alone.

    The same numbers are drawn whatever the settings, so a changed probability of one kind leaves the others' draws
    as they were.
    """
    each = (batch_size, channels)

    def uniform(shape: tuple[int, ...], low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=generator)

    def sometimes(probability: float, values: Tensor, neutral: float) -> Tensor:
        chosen = torch.rand(values.shape[:2], generator=generator) < probability
        return torch.where(chosen, values, neutral)

    def ratio(probability: float, bounds: tuple[float, float]) -> Tensor:
        # Even on the logarithm, so that a half is as likely as a double; rounding must not step over a bound.
        low, high = bounds
        drawn = uniform(each, math.log(low), math.log(high)).exp()
        return sometimes(probability, drawn.clamp(low, high), 1.0)

    moved = torch.rand(batch_size, generator=generator) < settings.affine_probability
    angles = uniform((batch_size, 3), -settings.rotation_degrees, settings.rotation_degrees)
    low, high = settings.scale
    scale = uniform((batch_size,), math.log(low), math.log(high)).exp().clamp(low, high)
    return Parameters(
        flips=torch.rand((batch_size, 3), generator=generator) < settings.flip_probability,
        rotation_degrees=torch.where(moved[:, None], angles, 0.0),
        scale=torch.where(moved, scale, 1.0),
        bias_log_gain=sometimes(settings.bias_probability, uniform(each, *settings.bias_log_gain), 0.0),
        bias_waves=torch.randn((*each, BIAS_WAVES, BIAS_WAVES, BIAS_WAVES), generator=generator),
        gamma=ratio(settings.gamma_probability, settings.gamma),
        blur_voxels=sometimes(settings.blur_probability, uniform(each, *settings.blur_voxels), 0.0),
        slice_voxels=ratio(settings.slice_probability, settings.slice_voxels),
        slice_axis=torch.randint(3, each, generator=generator),
        noise_std=sometimes(settings.noise_probability, uniform(each, *settings.noise_std), 0.0),
        noise_seed=torch.randint(2**62, each, generator=generator),
        contrast=ratio(settings.contrast_probability, settings.contrast),
        brightness=sometimes(settings.brightness_probability, uniform(each, *settings.brightness), 0.0),
    )


def apply(images: Tensor, labels: Tensor, parameters: Parameters) -> tuple[Tensor, Tensor]:
    """The augmented batch; the inputs are left as they were, and returned themselves where nothing changes them.

    Args:
        images: `[B,C,D,H,W]` float32, z-scored in the brain, exactly 0 outside it and in absent sequences.
        labels: `[B,D,H,W]`, any integer type; resampled by nearest neighbour.
        parameters: for this batch size and number of sequences.
    """
    placed, labels = _placed(images, labels, parameters)
    return _recoloured(placed, parameters, placed is not images), labels


def _placed(images: Tensor, labels: Tensor, parameters: Parameters) -> tuple[Tensor, Tensor]:
    """Rotated and scaled, then mirrored: voxel by voxel written once, and the samples that stay are copied."""
    moved = (parameters.rotation_degrees != 0).any(1) | (parameters.scale != 1)
    if not (moved.any() or parameters.flips.any()):
        return images, labels
    matrices = _to_source(parameters.rotation_degrees, parameters.scale, labels.shape[1:])
    placed_images, placed_labels = torch.empty_like(images), torch.empty_like(labels)
    for sample, chosen in enumerate(parameters.flips.tolist()):
        image, codes = images[sample], labels[sample]
        if moved[sample]:
            image, codes = _resampled(image, codes, matrices[sample])
        # Voxels change their place and nothing else.
        axes = [axis for axis, turned in enumerate(chosen) if turned]
        placed_images[sample] = image.flip([axis + 1 for axis in axes]) if axes else image
        placed_labels[sample] = codes.flip(axes) if axes else codes
    return placed_images, placed_labels


def _resampled(image: Tensor, labels: Tensor, matrix: Tensor) -> tuple[Tensor, Tensor]:
    """A sample rotated and scaled about the crop's centre; 0 comes in from outside.

    Args:
        image: `[C,D,H,W]`.
        labels: `[D,H,W]`.
        matrix: `[3,4]`, of `_to_source`.
    """
    grid = F.affine_grid(matrix[None].to(image.device), [1, 1, *labels.shape], align_corners=False)
    # On a CPU, torch gives each image of a batch to one thread: as slabs of one image, all threads have work.
    grid = grid.view(math.gcd(len(labels), SLABS), -1, *labels.shape[1:], 3)
    codes = labels.to(image.dtype)[None]
    return _sampled(image, grid, "bilinear"), _sampled(codes, grid, "nearest")[0].to(labels.dtype)


def _sampled(image: Tensor, grid: Tensor, mode: str) -> Tensor:
    """An image `[C,D,H,W]` at the places `[S,D/S,H,W,3]` of its slabs: `[C,D,H,W]`."""
    slabs = F.grid_sample(image.expand(len(grid), -1, -1, -1, -1), grid, mode=mode, align_corners=False)
    return slabs.transpose(0, 1).flatten(1, 2)


def _to_source(degrees: Tensor, scale: Tensor, size: torch.Size) -> Tensor:
    """Matrices `[B,3,4]` from a result's coordinates to the source's, both from -1 to 1 and in the order W, H, D."""
    radians = torch.deg2rad(degrees)
    matrix = torch.eye(3).expand(len(scale), 3, 3) / scale[:, None, None]
    for axis, (first, second) in enumerate(((1, 2), (0, 2), (0, 1))):
        turn = torch.eye(3).repeat(len(scale), 1, 1)
        cosine, sine = radians[:, axis].cos(), radians[:, axis].sin()
        turn[:, first, first] = turn[:, second, second] = cosine
        turn[:, first, second], turn[:, second, first] = -sine, sine
        matrix = turn @ matrix
    # A crop that is no cube would be sheared if angles were taken between sides of length 2: turn in voxels.
    half = torch.tensor(size) / 2
    matrix = matrix * half[None, None, :] / half[None, :, None]
    return F.pad(matrix.flip(1, 2), (0, 1))


def _recoloured(images: Tensor, parameters: Parameters, ours: bool) -> Tensor:
    """Intensity changes, one sequence of one sample at a time: on a CPU such a piece stays in the cache.

    Args:
        images: `[B,C,D,H,W]`.
        parameters: what is done to them.
        ours: whether the images may be overwritten.
    """
    active = (
        (parameters.bias_log_gain != 0)
        | (parameters.gamma != 1)
        | (parameters.blur_voxels != 0)
        | (parameters.slice_voxels != 1)
        | (parameters.noise_std != 0)
        | (parameters.contrast != 1)
        | (parameters.brightness != 0)
    )
    if not active.any():
        return images
    images = images if ours else images.clone()
    for sample, channel in active.nonzero().tolist():
        sequence = images[sample, channel]
        brain = sequence != 0
        changed = _signal(sequence, brain, parameters, (sample, channel))
        changed = _resolution(changed, parameters, (sample, channel))
        changed = _scanner(changed, parameters, (sample, channel))
        # Chosen, not multiplied: where there is no brain at all the statistics are no numbers.
        torch.where(brain, changed, changed.new_zeros(()), out=sequence)
    return images


def _signal(sequence: Tensor, brain: Tensor, parameters: Parameters, at: tuple[int, int]) -> Tensor:
    """The bias field and the power law, which need intensities from 0 to 1; the brain's mean and spread are kept."""
    strength, gamma = float(parameters.bias_log_gain[at]), float(parameters.gamma[at])
    if strength == 0 and gamma == 1:
        return sequence
    outside = ~brain
    low = sequence.masked_fill(outside, math.inf).amin()
    high = sequence.masked_fill(outside, -math.inf).amax()
    unit = (sequence - low).div_((high - low).clamp(min=TINY)).clamp_(0, 1)
    if strength != 0:
        unit *= bias_field(parameters.bias_waves[at].to(sequence.device), strength, sequence.shape)
    if gamma != 1:
        unit.pow_(gamma)
    # As numbers: a product of numbers with truths takes several times as long.
    weights = brain.to(sequence.dtype)
    old_mean, old_spread = _moments(sequence, weights)
    mean, spread = _moments(unit, weights)
    return unit.sub_(mean).mul_(old_spread / spread.clamp(min=TINY)).add_(old_mean)


def _moments(values: Tensor, brain: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the brain's voxels, where `brain` is 1 and else 0."""
    voxels = brain.sum()
    mean = (values * brain).sum() / voxels
    return mean, ((values - mean).mul_(brain).square_().sum() / voxels).sqrt()


def bias_field(waves: Tensor, strength: float, size: torch.Size) -> Tensor:
    """A smooth gain `[D,H,W]` whose logarithm reaches `strength` in absolute value and no more.

    The logarithm is a sum of slow cosines, as in the bias models of SPM.

    Args:
        waves: `[4,4,4]` coefficients along D, H and W, slowest first.
        strength: the largest `|log gain|`.
        size: `D, H, W`.
    """
    field = waves
    for side in reversed(size):
        places = (torch.arange(side, device=waves.device) + 0.5) / side
        cosines = torch.cos(math.pi * places[:, None] * torch.arange(BIAS_WAVES, device=waves.device))
        # The last axis is always the one transformed; putting the result first turns to the next.
        field = torch.tensordot(cosines, field, dims=([1], [2]))
    return (field * (strength / field.abs().amax().clamp(min=TINY))).exp()


def _resolution(sequence: Tensor, parameters: Parameters, at: tuple[int, int]) -> Tensor:
    """Blur and thick slices: both are matrices along an axis, which is far quicker than a convolution on a CPU."""
    spread, thickness = float(parameters.blur_voxels[at]), float(parameters.slice_voxels[at])
    if spread != 0:
        for axis in range(3):
            sequence = _along(sequence, gaussian_matrix(sequence.shape[axis], spread, sequence.device), axis)
    if thickness != 1:
        axis = int(parameters.slice_axis[at])
        sequence = _along(sequence, slice_matrix(sequence.shape[axis], thickness, sequence.device), axis)
    return sequence


def _along(sequence: Tensor, matrix: Tensor, axis: int) -> Tensor:
    """A matrix `[L,L]` applied along one axis of `[D,H,W]`."""
    if axis == 0:
        return (matrix @ sequence.flatten(1)).view_as(sequence)
    return matrix @ sequence if axis == 1 else sequence @ matrix.T


def gaussian_matrix(side: int, spread: float, device: torch.device | str = "cpu") -> Tensor:
    """A Gaussian blur along an axis of `side` voxels: `[L,L]`, rows sum to 1, also at the rim."""
    places = torch.arange(side, device=device, dtype=torch.float32)
    distance = (places[:, None] - places) / spread
    weights = torch.exp(-distance.square() / 2) * (distance.abs() <= BLUR_REACH)
    return weights / weights.sum(1, keepdim=True)


def slice_matrix(side: int, thickness: float, device: torch.device | str = "cpu") -> Tensor:
    """Averages over slices of `thickness` voxels, joined linearly again: `[L,L]`, rows sum to 1."""
    slices = max(1, round(side / thickness))
    averaged = F.interpolate(torch.eye(side, device=device)[None], size=slices, mode="area")
    return F.interpolate(averaged, size=side, mode="linear", align_corners=False)[0].T


def _scanner(sequence: Tensor, parameters: Parameters, at: tuple[int, int]) -> Tensor:
    """Noise, then a stretch and a shift. The brain's mean is 0, so a stretch about it is a product."""
    noise = float(parameters.noise_std[at])
    if noise != 0:
        generator = torch.Generator(sequence.device).manual_seed(int(parameters.noise_seed[at]))
        sequence = sequence + noise * torch.randn(sequence.shape, generator=generator, device=sequence.device)
    return sequence * float(parameters.contrast[at]) + float(parameters.brightness[at])
