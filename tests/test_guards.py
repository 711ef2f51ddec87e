"""The guards of conftest.py hold: no network, one thread, fixed seeds."""

from __future__ import annotations

import multiprocessing
import os
import random
import socket
import urllib.request

import numpy as np
import pytest
import torch


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_network_sockets_are_refused(family: socket.AddressFamily) -> None:
    with pytest.raises(RuntimeError, match="network"):
        socket.socket(family)


def test_downloads_and_look_ups_are_refused() -> None:
    with pytest.raises(RuntimeError, match="may not"):
        urllib.request.urlopen("http://localhost:9")
    with pytest.raises(RuntimeError, match="look up"):
        socket.getaddrinfo("localhost", 80)


def test_local_sockets_and_processes_still_work() -> None:
    left, right = socket.socketpair()
    with left, right:
        left.sendall(b"here")
        assert right.recv(4) == b"here"
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(abs, [-1, 2]) == [1, 2]


def test_one_thread_and_no_window() -> None:
    assert torch.get_num_threads() == 1
    assert os.environ["MPLBACKEND"] == "Agg"


@pytest.mark.parametrize("repetition", [1, 2])
def test_each_test_starts_from_the_same_seeds(repetition: int) -> None:
    drawn = (random.random(), float(np.random.rand()), float(torch.rand(())))
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    assert drawn == (random.random(), float(np.random.rand()), float(torch.rand(())))
