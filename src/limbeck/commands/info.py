"""`limbeck info`: versions, machine and folders, without importing torch."""

from __future__ import annotations

import argparse
import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version

from limbeck import cache
from limbeck.methods import METHODS
from limbeck.version import __version__

PACKAGES = ("torch", "lightning", "monai", "numpy", "scipy", "nibabel", "safetensors", "jsonargparse", "matplotlib")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print versions, machine and folders."""
    facts = {
        "limbeck": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        **{name: _version(name) for name in PACKAGES},
        "methods": ", ".join(METHODS),
        "cache": str(cache.folder()),
    }
    if arguments.json:
        print(json.dumps(facts, indent=1))
    else:
        for name, value in facts.items():
            print(f"{name:<14} {value}")
    return 0


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
