"""A window by itself in float32, with torch's own choice of kernels and with ours (limbeck.inference.convolution).

python benchmarks/lone_windows.py

Both ways take the same network and the same window by turns, in this one process; how far their logits are apart is
told. Where the processor has bf16, `limbeck predict` computes in that and does not come here.
"""

from __future__ import annotations

import argparse
import statistics

import torch
from turns import by_turns, print_row, tell_ratios

from limbeck.heap import keep_freed_memory
from limbeck.inference.convolution import by_blocks
from limbeck.networks import NETWORKS


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--sizes", default="8:24,8:64,16:64", help="width of the U-Net and side of the window, by commas"
    )
    parser.add_argument("--threads", default="1,2")
    arguments = parser.parse_args()
    keep_freed_memory()
    cpu = torch.device("cpu")
    for threads in map(int, arguments.threads.split(",")):
        torch.set_num_threads(threads)
        for width, side in (map(int, size.split(":")) for size in arguments.sizes.split(",")):
            network = NETWORKS["unet"](1, 4, width).eval()
            window = torch.randn(1, 1, side, side, side)

            def plain(network: torch.nn.Module = network, window: torch.Tensor = window) -> torch.Tensor:
                with torch.inference_mode():
                    logits: torch.Tensor = network(window).logits
                return logits

            def ours(network: torch.nn.Module = network, window: torch.Tensor = window) -> torch.Tensor:
                with by_blocks(cpu, bf16=False):
                    return plain(network, window)

            apart = float((ours() - plain()).abs().max())
            assert apart < 1e-4, f"logits are apart by {apart}"
            seconds = by_turns({"torch's choice": plain, "ours": ours}, arguments.rounds)
            what = f"width {width}, a window of {side}^3, {threads} thread{'s' if threads > 1 else ''}"
            for name, values in seconds.items():
                print_row(f"{name}, {what}", f"{1e3 * statistics.median(values):.0f} ms", "median")
            tell_ratios(print_row, seconds, "ours", what, f"; logits apart by {apart:.0e}")


if __name__ == "__main__":
    main()
