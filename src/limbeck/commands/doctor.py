"""`limbeck doctor`: try the parts of an installation that break in practice, and say what to mend."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print a line a check; exit code 1 when one fails."""
    results = [(name, *_try(check)) for name, check in CHECKS.items()]
    if arguments.json:
        print(json.dumps([{"check": name, "ok": ok, "found": found} for name, ok, found in results], indent=1))
    else:
        for name, ok, found in results:
            print(f"{'ok  ' if ok else 'FAIL'}  {name:<12} {found}")
    return 0 if all(ok for _, ok, _ in results) else 1


def _try(check: Callable[[], str]) -> tuple[bool, str]:
    try:
        return True, check()
    except Exception as error:
        return False, f"{type(error).__name__}: {error}"


def _torch() -> str:
    import torch  # noqa: PLC0415

    if torch.__version__.startswith("2.9."):
        raise RuntimeError(f"torch {torch.__version__} runs Conv3d four times slower under autocast: install another")
    return f"{torch.__version__}, {torch.get_num_threads()} threads"


def _device() -> str:
    from limbeck.methods.precision import pick_device, uses_bf16  # noqa: PLC0415

    device = pick_device()
    return f"{device.type}, {'bf16' if uses_bf16('auto', device) else 'float32'}"


def _step() -> str:
    import torch  # noqa: PLC0415

    from limbeck.losses import cross_entropy_dice  # noqa: PLC0415
    from limbeck.methods.precision import pick_device, uses_bf16  # noqa: PLC0415
    from limbeck.networks.unet import UNet  # noqa: PLC0415

    device = pick_device()
    network = UNet(1, 4, 8).to(device)
    images, labels = torch.randn(1, 1, 16, 16, 16), torch.randint(0, 4, (1, 16, 16, 16))
    with torch.autocast(device.type, torch.bfloat16, enabled=uses_bf16("auto", device)):
        loss = cross_entropy_dice(network(images.to(device)).logits, labels.to(device))
    loss.backward()  # type: ignore[no-untyped-call]
    return f"a training step runs on {device.type} (loss {loss.item():.2f})"


def _volumes() -> str:
    import numpy as np  # noqa: PLC0415

    from limbeck.data.grid import Grid  # noqa: PLC0415
    from limbeck.data.source import Source  # noqa: PLC0415
    from limbeck.data.volume import read_labels, write_labels  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.nii.gz"
        labels = np.arange(4, dtype=np.uint8).reshape(4, 1, 1).repeat(3, 1).repeat(2, 2)
        write_labels(path, labels, Grid.of((4, 3, 2), np.diag([-1.0, -1.0, 2.0, 1.0])))
        back, _ = read_labels(Source(path), "brats2018")
    if not np.array_equal(back, labels):
        raise RuntimeError("a NIfTI label map did not come back as it was written")
    return "NIfTI written and read back"


def _disk() -> str:
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    if free < 1:
        raise RuntimeError(f"{free:.1f} GiB free in the current folder: a cohort of 100 cases needs some 5 GiB")
    return f"{free:.0f} GiB free here, {os.cpu_count()} cores"


CHECKS: dict[str, Callable[[], str]] = {
    "torch": _torch,
    "device": _device,
    "training": _step,
    "volumes": _volumes,
    "disk": _disk,
}
