"""MONAI's usual dictionary pipeline over a data set in BraTS's names: what our reader and augmentation are measured by.

What is done once is kept in a CacheDataset; what is drawn for every crop has the kinds and probabilities of our own
augmentation, as far as MONAI has them. It draws an intensity change once for all sequences of a crop, we for each.
As a script: two steps of training with it, and the most memory they took.

python benchmarks/yardstick_monai.py PHANTOMS '{"spacing": 2.0}'
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from monai import transforms as mt
from monai.data import CacheDataset, DataLoader
from monai.losses import DiceCELoss
from steps import peak_mib
from torch import nn
from torch.utils.data import RandomSampler
from yardstick_ours import RATE, Sizes, in_bf16, make_method

from limbeck.anatomy import Subset
from limbeck.data.augment import Augmentation
from limbeck.data.geometry import Size
from limbeck.data.importers import detect_layout


def files(phantoms: Path, subset: Subset) -> list[dict[str, Any]]:
    """The files of every patient who has a segmentation, as MONAI wants them."""
    importer, _ = detect_layout(phantoms)
    return [
        {"image": [str(case.images[modality].path) for modality in sorted(subset)], "label": str(case.labels.path)}
        for case in importer.find(phantoms)
        if case.labels is not None
    ]


def prepared(spacing: float, patch: Size) -> list[Any]:
    """What is done once and kept in the cache."""
    both = ["image", "label"]
    return [
        mt.LoadImaged(keys=both, reader="NibabelReader"),
        mt.EnsureChannelFirstd(keys=both),
        mt.EnsureTyped(keys=both),
        mt.MapLabelValued(keys="label", orig_labels=[4], target_labels=[3]),
        mt.Orientationd(keys=both, axcodes="RAS", labels=None),
        mt.Spacingd(keys=both, pixdim=[spacing] * 3, mode=("bilinear", "nearest")),
        mt.CropForegroundd(keys=both, source_key="image", margin=4, allow_smaller=True),
        mt.NormalizeIntensityd(keys="image", nonzero=True, channel_wise=True),
        mt.SpatialPadd(keys=both, spatial_size=patch),
    ]


def drawn(patch: Size) -> list[Any]:
    """What is drawn anew for every crop: the kinds and probabilities of `Augmentation`, in MONAI's words."""
    ours, both = Augmentation(), ["image", "label"]
    turn, (smallest, largest) = math.radians(ours.rotation_degrees), ours.scale
    return [
        mt.RandCropByPosNegLabeld(
            keys=both, label_key="label", spatial_size=patch, pos=1, neg=1, num_samples=1, image_key="image"
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


def cache(phantoms: Path, subset: Subset, spacing: float, patch: Size) -> CacheDataset:
    """All patients, their volumes in memory."""
    pipeline = mt.Compose([*prepared(spacing, patch), *drawn(patch)]).set_random_state(seed=0)
    return CacheDataset(files(phantoms, subset), pipeline, cache_rate=1.0, num_workers=1, progress=False)


def their_loss() -> DiceCELoss:
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


def their_epoch(cache: CacheDataset, subset: Subset, sizes: Sizes, workers: int) -> Callable[[], None]:
    """An epoch as MONAI's tutorials write it."""
    network: nn.Module = make_method(subset, sizes).network
    optimiser = torch.optim.Adam(network.parameters(), RATE.learning_rate, weight_decay=RATE.weight_decay)
    loss_function = their_loss()
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
            with torch.autocast("cpu", torch.bfloat16, enabled=in_bf16()):
                loss = loss_function(network(images).logits, labels)
            loss.backward()
            optimiser.step()
            assert math.isfinite(loss.item())

    return epoch


def main() -> None:
    """Two steps; their peak memory on standard output."""
    sizes, everything = replace(Sizes(**json.loads(sys.argv[2])), steps=2), Subset.parse("all")
    their_epoch(cache(Path(sys.argv[1]), everything, sizes.spacing, sizes.patch), everything, sizes, 0)()
    print(peak_mib())


if __name__ == "__main__":
    main()
