"""A plain prediction script in the manner of a MONAI bundle: what `limbeck predict` is measured against.

python benchmarks/yardstick_bundle.py --weights W.safetensors --scan FLAIR.nii.gz --out FOLDER --spacing 2 --window 64

It takes one of our networks, and from us nothing else. `--crop` adds MONAI's crop to the foreground.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from monai import transforms as mt
from monai.inferers import sliding_window_inference
from safetensors.torch import load_file

from limbeck.networks.unet import UNet


def main() -> None:
    """Segment one scan."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--scan", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="a folder; the mask has the scan's name")
    parser.add_argument("--spacing", type=float, required=True, help="of the network, in mm")
    parser.add_argument("--window", type=int, required=True, help="edge in voxels")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--crop", action="store_true")
    parser.add_argument("--bf16", action="store_true")
    arguments = parser.parse_args()

    network = UNet(1, 4, arguments.width)
    weights = load_file(arguments.weights)
    network.load_state_dict({name.removeprefix("network."): tensor for name, tensor in weights.items()})
    network.eval()

    before = mt.Compose(
        [
            mt.LoadImaged(keys="image", reader="NibabelReader"),
            mt.EnsureChannelFirstd(keys="image"),
            mt.Orientationd(keys="image", axcodes="RAS", labels=None),
            mt.Spacingd(keys="image", pixdim=[arguments.spacing] * 3, mode="bilinear"),
            *([mt.CropForegroundd(keys="image", source_key="image", allow_smaller=True)] if arguments.crop else []),
            mt.NormalizeIntensityd(keys="image", nonzero=True, channel_wise=True),
            mt.EnsureTyped(keys="image"),
        ]
    )
    after = mt.Compose(
        [
            mt.Invertd(keys="scores", transform=before, orig_keys="image", nearest_interp=False, to_tensor=True),
            mt.AsDiscreted(keys="scores", argmax=True),
            mt.MapLabelValued(keys="scores", orig_labels=[3], target_labels=[4]),
            mt.SaveImaged(
                keys="scores",
                output_dir=arguments.out,
                output_postfix="",
                separate_folder=False,
                resample=False,
                output_dtype="uint8",
                print_log=False,
            ),
        ]
    )

    def softmax(windows: torch.Tensor) -> torch.Tensor:
        # The network learnt with axes z, y, x; what overlaps is a mean of probabilities in ours too.
        with torch.autocast("cpu", torch.bfloat16, enabled=arguments.bf16):
            turned: torch.Tensor = network(windows.permute(0, 1, 4, 3, 2)).logits
        return turned.float().softmax(1).permute(0, 1, 4, 3, 2)

    data = before({"image": str(arguments.scan)})
    with torch.inference_mode():
        window = (arguments.window,) * 3
        scores = sliding_window_inference(data["image"][None], window, 1, softmax, overlap=0.5, mode="gaussian")
    data["scores"] = scores[0]
    after(data)


if __name__ == "__main__":
    main()
