"""A student's windows in ONNX Runtime and in torch, by turns; their scores are compared before anything is timed.

python benchmarks/onnx_speed.py                                                   the common network, windows of 96^3
python benchmarks/onnx_speed.py --network vnet --patch 128 --rounds 9
python benchmarks/onnx_speed.py --width 8 --patch 32 --rounds 5                   quickly, only to see that it runs

Untrained networks cost what trained ones cost. All ways have the threads that torch has (OMP_NUM_THREADS). A ratio
above 1 says that ONNX Runtime is the quicker.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from importlib.metadata import version

import torch
from turns import by_turns, print_row, tell_ratios

from limbeck.anatomy import Subset
from limbeck.batch import View
from limbeck.export.agreement import compare
from limbeck.export.graph import to_onnx
from limbeck.export.runtime import session
from limbeck.inference.convolution import by_blocks
from limbeck.methods import build, find
from limbeck.methods.base import Context
from limbeck.networks import NETWORKS

T1CE = Subset.parse("t1ce")
OURS = "onnx runtime"
# bfloat16 keeps 8 bits of a number; a score that is off by more was computed otherwise.
BF16_TOLERANCE = 0.05


def main() -> None:
    """Compare, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="unet", choices=sorted(NETWORKS))
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--patch", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    threads = torch.get_num_threads()
    versions = f"torch {torch.__version__}, onnxruntime {version('onnxruntime')}"
    print(f"{platform.machine()}, {threads} threads, {versions}, {time.strftime('%Y-%m-%d')}\n")
    print("| what | value | how |")
    print("|---|--:|---|")
    measure(arguments.network, arguments.width, arguments.patch, arguments.rounds)


def measure(network: str, width: int, side: int, rounds: int) -> None:
    """The rows of one network and window."""
    torch.manual_seed(0)
    settings = find("supervised").Settings(network=network, width=width)
    method = build("supervised", settings, Context((T1CE,))).eval()
    started = time.process_time()
    content = to_onnx(method, {})
    print_row("translation", f"{time.process_time() - started:.1f} s", f"of the processor, {network} of width {width}")
    patch = (side, side, side)
    difference = compare(content, method, patch).largest_difference
    print_row("largest difference of a score", f"{difference:.0e}", "onnx runtime and torch float32, three shapes")

    images = torch.randn(1, 1, *patch)
    whole = torch.zeros(1, 4, *patch).index_copy_(1, torch.tensor(T1CE.channels), images)
    view, runtime, fed = View.of(whole, torch.tensor([T1CE.mask()])), session(content), {"images": images.numpy()}

    @torch.inference_mode()
    def in_torch(bf16: bool) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16), by_blocks(torch.device("cpu"), bf16):
            return method.predict(view)

    off = float((in_torch(True) - in_torch(False)).abs().max())
    assert off <= BF16_TOLERANCE, f"bf16 is off by {off}"
    ways = {
        OURS: lambda: runtime.run(None, fed),
        "torch float32": lambda: in_torch(False),
        "torch bf16": lambda: in_torch(True),
    }
    seconds = by_turns(ways, rounds)
    how = f"{network} of width {width}, a window of {side}^3, median of {rounds}"
    for name, values in seconds.items():
        print_row(f"{name}, one window", f"{statistics.median(values):.3f} s", how)
    tell_ratios(print_row, seconds, OURS, f"{side}^3", f"; bf16's scores differ by up to {off:.0e}")


if __name__ == "__main__":
    main()
