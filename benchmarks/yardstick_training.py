"""Our training step beside the same network fed by MONAI's usual dictionary pipeline from a CacheDataset.

python benchmarks/yardsticks.py --only training

Network, weights, optimiser, number format, crop, batch and data are the same; so are the kinds of augmentation and
their probabilities, as far as MONAI has them (it draws an intensity change once for all sequences of a crop, we for
each by itself). Before anything is timed, both must make the same image of a patient, and on one crop give the same
loss and the same gradients. A turn is an epoch: loaders start with it and have nothing left in store at its end.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from monai import transforms as mt
from monai.data import CacheDataset, DataLoader
from monai.losses import DiceCELoss
from steps import peak_mib
from torch import Tensor, nn
from torch.utils.data import RandomSampler
from turns import Row, by_turns, tell_ratios

from limbeck.anatomy import Modality, Subset
from limbeck.batch import Batch, View
from limbeck.data.augment import Augmentation
from limbeck.data.cohort import Cohort, import_cohort
from limbeck.data.dataset import CropReader, SamplingSettings, batches
from limbeck.data.importers import detect_layout
from limbeck.methods import build, find
from limbeck.methods.base import Context, Method, Progress
from limbeck.methods.precision import uses_bf16
from limbeck.training.optimise import Optimisers, OptimiserSettings
from limbeck.training.trainer import TrainingSettings, fabric_for

SUBSETS = ("flair", "all")
OURS = "ours"
RATE = OptimiserSettings(schedule="constant")
START = Progress(0, 1, 0, 1)
# What may come of voxels that lie on the other side of a rounding to float16.
ROUNDED_LOSS, ROUNDED_GRADIENT = 1e-3, 1e-2
SAME_LOSS, SAME_GRADIENT = 1e-6, 1e-4


@dataclass(frozen=True)
class Sizes:
    """How large the measurement is.

    Attributes:
        spacing: of phantoms and of the network's grid, in mm.
        cases: patients.
        width: of the network.
        side: of a crop, in voxels.
        batch: crops a step.
        steps: in an epoch, which is a turn.
        rounds: turns that count.
        workers: processes of MONAI's loader, besides none.
    """

    spacing: float = 2.0
    cases: int = 6
    width: int = 16
    side: int = 64
    batch: int = 2
    steps: int = 6
    rounds: int = 5
    workers: int = 2

    @property
    def patch(self) -> tuple[int, int, int]:
        """The crop."""
        return (self.side, self.side, self.side)


def measure(row: Row, folder: Path, phantoms: Path, sizes: Sizes) -> None:
    """All rows about training; `phantoms` holds the patients' files."""
    cohort = _import(phantoms, folder / "cohort", sizes)
    for name in SUBSETS:
        subset = Subset.parse(name)
        found = _agreement(cohort, phantoms, subset, sizes)
        row(f"agreement before training {name}", found, "float32, same weights, one crop without augmentation")
        ways = {OURS: _our_epoch(cohort, subset, sizes)}
        cache = _cache(phantoms, subset, sizes)
        for workers in sorted({0, sizes.workers}):
            ways[f"MONAI with {_processes(workers)}"] = _their_epoch(cache, subset, sizes, workers)
        seconds = by_turns(ways, sizes.rounds)
        precision = "bf16" if _bf16() else "float32"
        how = f"width {sizes.width}, {sizes.batch} {sizes.side}^3 crops, {precision}, reading and augmenting included, "
        how += f"median of {sizes.rounds} epochs of {sizes.steps} steps"
        for way, values in seconds.items():
            row(f"training step on {name}, {way}", f"{statistics.median(values) / sizes.steps:.3f} s", how)
        tell_ratios(row, seconds, OURS, f"training step on {name}")
    _fill(row, folder, phantoms, sizes)
    for way in (OURS, "MONAI"):
        words = ["--one", way, "--data", str(cohort.path if way == OURS else phantoms)]
        words += [f"--{name}={getattr(sizes, name)}" for name in ("spacing", "cases", "width", "side", "batch")]
        done = subprocess.run([sys.executable, __file__, *words], check=True, capture_output=True, text=True)
        peak = json.loads(done.stdout)["peak_mib"]
        row(f"peak memory of training on all, {way}", f"{peak:.0f} MiB", f"resident, own process, {sizes.cases} cases")


def _processes(number: int) -> str:
    return f"{number} workers" if number else "no workers"


def _bf16() -> bool:
    return uses_bf16("auto", torch.device("cpu"))


def _autocast() -> Any:
    return torch.autocast("cpu", torch.bfloat16, enabled=_bf16())


def _method(subset: Subset, sizes: Sizes) -> Method[Any]:
    torch.manual_seed(0)
    kind = find("supervised")
    return build("supervised", kind.Settings(width=sizes.width), Context((subset,)))


# --- ours -------------------------------------------------------------------------------------------------------------


def _import(phantoms: Path, out: Path, sizes: Sizes) -> Cohort:
    importer, _ = detect_layout(phantoms)
    cases = importer.find(phantoms)
    import_cohort(
        cases, out, spacing_mm=sizes.spacing, scheme="brats2018", layout=importer.name, source=phantoms, workers=1
    )
    return Cohort.open(out)


def _our_epoch(cohort: Cohort, subset: Subset, sizes: Sizes) -> Callable[[], None]:
    """An epoch as `limbeck train` takes it, with its loader, its augmentation and its checks of every term."""
    method = _method(subset, sizes)
    optimisers, fabric = Optimisers(method, RATE), fabric_for(TrainingSettings(device="cpu"))
    reader = CropReader(cohort.cases, SamplingSettings(patch=sizes.patch, batch=sizes.batch), [subset], 0, False)
    taken = 0

    def epoch() -> None:
        nonlocal taken
        method.train()
        for batch in batches(reader, taken, taken + sizes.steps, torch.device("cpu"), Augmentation()):
            iterator = method.training_step(batch, START)
            while True:
                with fabric.autocast():
                    objectives = next(iterator, None)
                if objectives is None:
                    break
                assert all(math.isfinite(float(term.detach())) for term in objectives["main"].values())
                optimisers.descend(fabric, objectives)
        taken += sizes.steps

    return epoch


# --- theirs -----------------------------------------------------------------------------------------------------------


def _files(phantoms: Path, subset: Subset) -> list[dict[str, Any]]:
    importer, _ = detect_layout(phantoms)
    return [
        {"image": [str(case.images[modality].path) for modality in sorted(subset)], "label": str(case.labels.path)}
        for case in importer.find(phantoms)
        if case.labels is not None
    ]


def _prepared(sizes: Sizes) -> list[Any]:
    """What is done once and kept in the cache."""
    both = ["image", "label"]
    return [
        mt.LoadImaged(keys=both, reader="NibabelReader"),
        mt.EnsureChannelFirstd(keys=both),
        mt.EnsureTyped(keys=both),
        mt.MapLabelValued(keys="label", orig_labels=[4], target_labels=[3]),
        mt.Orientationd(keys=both, axcodes="RAS", labels=None),
        mt.Spacingd(keys=both, pixdim=[sizes.spacing] * 3, mode=("bilinear", "nearest")),
        mt.CropForegroundd(keys=both, source_key="image", margin=4, allow_smaller=True),
        mt.NormalizeIntensityd(keys="image", nonzero=True, channel_wise=True),
        mt.SpatialPadd(keys=both, spatial_size=sizes.patch),
    ]


def _drawn(sizes: Sizes) -> list[Any]:
    """What is drawn anew for every crop: the kinds and probabilities of `Augmentation`, in MONAI's words."""
    ours, both = Augmentation(), ["image", "label"]
    turn, (smallest, largest) = math.radians(ours.rotation_degrees), ours.scale
    return [
        mt.RandCropByPosNegLabeld(
            keys=both, label_key="label", spatial_size=sizes.patch, pos=1, neg=1, num_samples=1, image_key="image"
        ),
        *(mt.RandFlipd(keys=both, prob=ours.flip_probability, spatial_axis=axis) for axis in range(3)),
        mt.RandAffined(
            keys=both,
            prob=ours.affine_probability,
            rotate_range=(turn, turn, turn),
            scale_range=((smallest - 1, largest - 1),) * 3,
            mode=("bilinear", "nearest"),
            padding_mode="zeros",
        ),
        mt.RandBiasFieldd(keys="image", prob=ours.bias_probability, coeff_range=ours.bias_log_gain),
        mt.RandAdjustContrastd(keys="image", prob=ours.gamma_probability, gamma=ours.gamma, retain_stats=True),
        mt.RandGaussianSmoothd(
            keys="image",
            prob=ours.blur_probability,
            sigma_x=ours.blur_voxels,
            sigma_y=ours.blur_voxels,
            sigma_z=ours.blur_voxels,
        ),
        mt.RandSimulateLowResolutiond(
            keys="image", prob=ours.slice_probability, zoom_range=(1 / ours.slice_voxels[1], 1 / ours.slice_voxels[0])
        ),
        mt.RandGaussianNoised(keys="image", prob=ours.noise_probability, std=ours.noise_std[1]),
        mt.RandScaleIntensityd(
            keys="image", prob=ours.contrast_probability, factors=(ours.contrast[0] - 1, ours.contrast[1] - 1)
        ),
        mt.RandShiftIntensityd(keys="image", prob=ours.brightness_probability, offsets=ours.brightness),
    ]


def _cache(phantoms: Path, subset: Subset, sizes: Sizes) -> CacheDataset:
    pipeline = mt.Compose([*_prepared(sizes), *_drawn(sizes)]).set_random_state(seed=0)
    return CacheDataset(_files(phantoms, subset), pipeline, cache_rate=1.0, num_workers=1, progress=False)


def _their_epoch(cache: CacheDataset, subset: Subset, sizes: Sizes, workers: int) -> Callable[[], None]:
    """An epoch as MONAI's tutorials write it."""
    network: nn.Module = _method(subset, sizes).network
    optimiser = torch.optim.Adam(network.parameters(), RATE.learning_rate, weight_decay=RATE.weight_decay)
    loss_function = _their_loss()
    sampler = RandomSampler(cache, replacement=True, num_samples=sizes.steps * sizes.batch)
    loader = DataLoader(
        cache, batch_size=sizes.batch, sampler=sampler, num_workers=workers, persistent_workers=workers > 0
    )

    def epoch() -> None:
        network.train()
        for batch in loader:
            # Plain tensors: MetaTensors through a network cost more, and would be a yardstick that is easy to beat.
            images, labels = batch["image"].as_tensor(), batch["label"].as_tensor()
            optimiser.zero_grad()
            with _autocast():
                loss = loss_function(network(images).logits, labels)
            loss.backward()
            optimiser.step()
            assert math.isfinite(loss.item())

    return epoch


def _their_loss() -> DiceCELoss:
    """MONAI's DiceCE with the options that make it our loss: squares, no background, sums over the batch."""
    return DiceCELoss(
        include_background=False,
        to_onehot_y=True,
        softmax=True,
        squared_pred=True,
        batch=True,
        smooth_nr=1e-5,
        smooth_dr=1e-5,
    )


# --- agreement --------------------------------------------------------------------------------------------------------


def _agreement(cohort: Cohort, phantoms: Path, subset: Subset, sizes: Sizes) -> str:
    """How far image, loss and gradients of both ways lie apart on one crop.

    Raises:
        SystemExit: further than rounding explains.
    """
    theirs = mt.Compose(_prepared(replace(sizes, side=1)))(_files(phantoms, subset)[0])
    # MONAI's `[X,Y,Z]` in RAS is our `[z,y,x]` turned round.
    image, labels = (theirs[key].as_tensor().permute(0, 3, 2, 1) for key in ("image", "label"))
    case = cohort.case(Path(_files(phantoms, subset)[0]["label"]).parent.name)
    ours = torch.stack([torch.from_numpy(case.images(modality).copy()).float() for modality in sorted(subset)])
    offset = [
        int(start) - first for start, first in zip(theirs["foreground_start_coord"][::-1], case.crop.start, strict=True)
    ]
    places = _tumour(labels[0], sizes.side)
    there = tuple(slice(first, first + sizes.side) for first in places)
    here = tuple(slice(first + shift, first + shift + sizes.side) for first, shift in zip(places, offset, strict=True))
    mine = ours[(slice(None), *here)][None]
    truth = torch.from_numpy(case.labels()[here].copy()).long()[None]  # type: ignore[index]
    other, other_truth = image[(slice(None), *there)][None].contiguous(), labels[(slice(None), *there)][None]
    if not torch.equal(truth, other_truth[:, 0].long()):
        raise SystemExit("MONAI's pipeline and ours cut different labels: expected the same")
    # Images are kept in float16 by us.
    other = other.half().float()
    apart = float((mine - other).abs().max())
    method = _method(subset, sizes)
    reference = _ours_on(method, mine, truth, subset)
    same = _apart(reference, _theirs_on(method, mine, other_truth))
    rounded = _apart(reference, _theirs_on(method, other, other_truth))
    _expect(same, (SAME_LOSS, SAME_GRADIENT), "the same crop")
    _expect(rounded, (ROUNDED_LOSS, ROUNDED_GRADIENT), "each its own crop")
    return f"loss {same[0]:.0e}, gradients {same[1]:.0e}; with each its own image {rounded[0]:.0e}, {rounded[1]:.0e}, \
voxels within {apart:.0e}"


def _tumour(labels: Tensor, side: int) -> list[int]:
    """First voxel of a crop with the tumour in its middle."""
    middle = labels.nonzero().float().mean(0).round().int().tolist()
    return [min(max(centre - side // 2, 0), length - side) for centre, length in zip(middle, labels.shape, strict=True)]


def _ours_on(method: Method[Any], crop: Tensor, labels: Tensor, subset: Subset) -> tuple[Tensor, Tensor]:
    complete = torch.zeros(1, len(Modality), *crop.shape[2:])
    complete[:, list(subset.channels)] = crop
    available = torch.tensor([subset.mask()])
    batch = Batch(View.of(complete, available), complete, available, labels, ("",))
    ((terms,),) = (tuple(objectives.values()) for objectives in method.training_step(batch, START))
    return _gradient(method, torch.stack(list(terms.values())).sum())


def _theirs_on(method: Method[Any], crop: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    return _gradient(method, _their_loss()(method.network(crop).logits, labels))


def _gradient(method: Method[Any], loss: Tensor) -> tuple[Tensor, Tensor]:
    """The loss, and its gradient in one row."""
    parts = torch.autograd.grad(loss, list(method.parameters()))
    return loss.detach(), torch.cat([part.flatten() for part in parts])


def _apart(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> tuple[float, float]:
    """How far losses and gradients lie apart, against their size."""
    loss, gradient = (float((a - b).norm() / a.norm()) for a, b in zip(one, other, strict=True))
    return loss, gradient


def _expect(found: tuple[float, float], most: tuple[float, float], what: str) -> None:
    if any(not value <= limit for value, limit in zip(found, most, strict=True)):
        raise SystemExit(f"{what}: loss and gradients differ by {found}: expected at most {most}")


# --- what comes before the first step, and memory ---------------------------------------------------------------------


def _fill(row: Row, folder: Path, phantoms: Path, sizes: Sizes) -> None:
    """What it takes before the first step: our import, which is done once, and the filling of MONAI's cache."""
    out = folder / "again"

    def ours() -> None:
        shutil.rmtree(out, ignore_errors=True)
        _import(phantoms, out, sizes)

    everything = Subset.parse("all")
    seconds = by_turns({"our import": ours, "MONAI's cache": lambda: _cache(phantoms, everything, sizes)}, sizes.rounds)
    often = {"our import": "once, written to disk", "MONAI's cache": "at every start, kept in memory"}
    for way, values in seconds.items():
        how = f"a case of four sequences and labels, one worker, {often[way]}, median of {sizes.rounds}"
        row(f"{way}, to {sizes.spacing:g} mm", f"{statistics.median(values) / sizes.cases:.3f} s", how)
    tell_ratios(row, seconds, "our import", "what comes first")


def _one(arguments: argparse.Namespace) -> Iterator[None]:
    """Two steps of one way in this process, with one worker's worth of everything."""
    names = ("spacing", "cases", "width", "side", "batch")
    sizes = replace(Sizes(steps=2), **{name: getattr(arguments, name) for name in names})
    everything = Subset.parse("all")
    if arguments.one == OURS:
        _our_epoch(Cohort.open(arguments.data), everything, sizes)()
    else:
        _their_epoch(_cache(arguments.data, everything, sizes), everything, sizes, 0)()
    yield


def main() -> None:
    """Two steps of one way; its peak memory as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", required=True, choices=(OURS, "MONAI"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--spacing", type=float, required=True)
    for name in ("cases", "width", "side", "batch"):
        parser.add_argument(f"--{name}", type=int, required=True)
    for _ in _one(parser.parse_args()):
        print(json.dumps({"peak_mib": peak_mib()}))


if __name__ == "__main__":
    main()
