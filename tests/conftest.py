"""What holds for every test: one torch thread, no window, fixed seeds, no network."""

from __future__ import annotations

import fcntl
import os
import random
import signal
import socket
import sys
from pathlib import Path
from typing import Any

# Read when the libraries start, here and in the commands that tests run.
os.environ["MPLBACKEND"] = "Agg"
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

import numpy as np
import pytest
import torch

import limbeck.heap
from limbeck.cli import main

torch.set_num_threads(1)

# A training in a test's own process would keep its memory, and tests that watch theirs grow would see nothing. Before
# the trainer is imported, which takes the name from there.
limbeck.heap.keep_freed_memory = lambda: False

# A shell that starts something in the background has it ignore Ctrl-C, and what it starts inherits that; tests send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


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


@pytest.fixture(scope="session")
def five_patients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five patients of 6 mm, made once for all workers; nobody changes them."""
    root = tmp_path_factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    made = root / "phantoms"
    with (root / "phantoms.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            words = ["phantom", "--cases", "5", "--spacing", "6", "--workers", "1", "--out", str(root / "unfinished")]
            assert main(words) == 0
            (root / "unfinished").rename(made)
    return made
