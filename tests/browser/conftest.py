"""A page with a viewer, made of a small synthetic head, and a browser that has it open."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import chromium
import numpy as np
import pytest

from limbeck.anatomy import Label, Region, Subset
from limbeck.evaluation.table import Row
from limbeck.report.results import write_results
from limbeck.report.viewer import Mask, Scene

SHAPE = (48, 56, 40)
SUBSETS = ("flair", "t1ce", "flair+t1+t1ce+t2")
METHODS = ("supervised", "gkd")
CASES = tuple(f"case-{letter}" for letter in "abcdefgh")
SHOWN = CASES[:2]


def tumour(shift: int = 0) -> np.ndarray:
    """Three nested boxes: oedema, enhancing rim, necrotic core."""
    labels = np.zeros(SHAPE, np.uint8)
    for margin, label in ((0, Label.OEDEMA), (3, Label.ENHANCING), (5, Label.NECROTIC_CORE)):
        labels[26 + margin + shift : 42 - margin + shift, 20 + margin : 38 - margin, 12 + margin : 28 - margin] = label
    return labels


def scene(case: str, number: int) -> Scene:
    """A ball of grey with a brighter half, which is another one in each sequence and case."""
    place = np.indices(SHAPE) - np.array(SHAPE)[:, None, None, None] / 2
    head = (place**2).sum(axis=0) < 23**2
    images = {
        role: head * (100.0 + 80 * (place[axis] > 0) + 20 * number)
        for axis, role in ((0, "flair"), (1, "t1"), (1, "t1ce"))
    }
    masks = [
        Mask(f"{method}-{subset}", method, subset, tumour(shift), {"WT": 0.5})
        for shift, method in enumerate(METHODS, 1)
        for subset in SUBSETS
        # A specialist does not serve every subset.
        if (method, subset) != ("gkd", "t1ce")
    ]
    return Scene(case, np.diag([2.0, 2.0, 2.0, 1.0]), images, tumour(), masks)


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [
        Row(f"{method}-{subset}", method, 0, 0, case, Subset.parse(subset), region, metric, value)
        for better, method in enumerate(METHODS)
        for subset in SUBSETS
        for number, case in enumerate(CASES)
        for region in Region
        for metric, value in (("dice", 0.4 + 0.05 * number + 0.02 * better - 0.03 * region), ("hd95_mm", 9.0))
    ]
    scenes = [scene(case, number) for number, case in enumerate(SHOWN)]
    return write_results(tmp_path_factory.mktemp("report") / "report.html", rows, scenes=scenes)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Tab]:
    program = chromium.find()
    if program is None:
        if os.environ.get("LIMBECK_BROWSER") == "required":
            pytest.fail(f"no browser on PATH: expected one of {', '.join(chromium.NAMES)}")
        pytest.skip("no Chromium here, so the report was not opened in a browser: make test-browser installs one")
    with chromium.tab(program, tmp_path_factory.mktemp("profile")) as tab:
        yield tab


@pytest.fixture(params=[1600, 390], ids=["wide", "narrow"])
def tab(browser: chromium.Tab, page: Path, request: pytest.FixtureRequest) -> chromium.Tab:
    """The page, freshly loaded in a wide and in a narrow window, with its viewer drawn."""
    browser.console.clear()
    browser.requests.clear()
    browser.open(page, request.param, 900, mobile=request.param < 500)
    browser.wait("document.getElementById('viewer').dataset.state === 'ready'")
    return browser
