"""What holds for every test: one torch thread, no window, fixed seeds, no network."""

from __future__ import annotations

import fcntl
import os
import random
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Read when the libraries start, here and in the commands that tests run.
os.environ["MPLBACKEND"] = "Agg"
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

import numpy as np
import pytest
import torch
from drawn_once import drawn_once
from some_patients import copy_first

import limbeck.heap
from limbeck.cli import main
from limbeck.networks import unet
from limbeck.phantom import cohort

torch.set_num_threads(1)

# A training in a test's own process would keep its memory, and tests that watch theirs grow would see nothing. Before
# the trainer is imported, which takes the name from there.
limbeck.heap.keep_freed_memory = lambda: False

# A shell that starts something in the background has it ignore Ctrl-C, and what it starts inherits that; tests send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every second module first, so that two workers, each of which begins with a half, have much the same to do.

    In the order of names, one worker has all that trains in processes and the other all units: what it then takes over,
    from the end of the first one's tests, splits modules whose fixtures take long, and both make these.
    """
    modules = list(dict.fromkeys(item.path for item in items))
    items.sort(key=lambda item: (modules.index(item.path) % 2, modules.index(item.path)))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before any fixture: work of a benchmark that runs in a test's own process takes the threads it was given."""
    del item
    torch.set_num_threads(1)


def _refuse_network(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook, since a patch would miss sockets that are made from C or before the first test."""
    # A family of -1 wraps a descriptor that exists already.
    if event == "socket.__new__" and arguments[1] not in (socket.AF_UNIX, -1):
        raise RuntimeError("tests may not open network sockets")
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        raise RuntimeError(f"tests may not look up hosts: {arguments[0]!r}")


sys.addaudithook(_refuse_network)


@pytest.fixture(autouse=True)
def _fixed_seeds() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


def _shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all workers of this run."""
    root = tmp_path_factory.getbasetemp()
    return root.parent if "PYTEST_XDIST_WORKER" in os.environ else root


@pytest.fixture(scope="session", autouse=True)
def _each_phantom_is_drawn_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cohort, "make", drawn_once(_shared(tmp_path_factory) / "patients"))
        yield


@pytest.fixture(scope="module")
def shallow_unet() -> Iterator[None]:
    """One block at each level of the common network, for what is promised at any depth; not in other processes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unet, "DEPTHS", (1, 1, 1, 1))
        yield


@pytest.fixture(scope="session")
def four_patients(five_patients: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As many as the harnesses of `torture/` draw for themselves; nobody changes them."""
    folder = tmp_path_factory.mktemp("four")
    copy_first(five_patients, 4, folder)
    return folder


def _once(root: Path, name: str, *words: str) -> Path:
    """What a command writes, of whichever worker needs it first; nobody changes it."""
    made, begun = root / name, root / f"unfinished {name}"
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            assert main([*words, "--workers", "1", "--out", str(begun)]) == 0
            begun.rename(made)
    return made


@pytest.fixture(scope="session")
def five_patients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five patients of 6 mm."""
    return _once(_shared(tmp_path_factory), "phantoms", "phantom", "--cases", "5", "--spacing", "6")


@pytest.fixture(scope="session")
def coarse_cohort(five_patients: Path) -> Path:
    """The five patients at 9 mm, a few windows each; whoever trains on it copies it, since it keeps its split there."""
    return _once(five_patients.parent, "cohort", "import", str(five_patients), "--spacing", "9")
