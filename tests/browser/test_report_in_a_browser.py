"""The report in a real browser: quiet, offline, drawn, and every control does what it says."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from chromium import Tab

from limbeck.anatomy import Label
from limbeck.report.figures import TISSUE_COLOURS

LEFT, RIGHT = "#viewer .pane:nth-child(1)", "#viewer .pane:nth-child(2)"


def shown(tab: Tab) -> dict[str, str]:
    return dict(tab.run("({...document.getElementById('viewer').dataset})"))


def pixels(tab: Tab, folder: Path, pane: str) -> np.ndarray:
    tab.picture(folder / "pane.png", f"{pane} canvas")
    return matplotlib.image.imread(folder / "pane.png")[..., :3]


def tinted(picture: np.ndarray, label: Label) -> int:
    """How many pixels have a tissue's hue; a mask lies half transparent over grey, so only the hue is its own."""
    wanted = np.array([int(TISSUE_COLOURS[label][place : place + 2], 16) / 255 for place in (1, 3, 5)])
    colour = picture - picture.min(axis=-1, keepdims=True)
    strength = np.linalg.norm(colour, axis=-1)
    wanted = wanted - wanted.min()
    alike = (colour @ wanted) / (np.maximum(strength, 1e-6) * np.linalg.norm(wanted))
    return int(((strength > 0.15) & (alike > 0.98)).sum())


def choose(tab: Tab, pane: str, value: str) -> None:
    tab.click(f"{pane} input[value={json.dumps(value)}]")
    tab.wait("document.getElementById('viewer').dataset.state === 'ready'")


def test_it_opens_without_a_complaint_and_asks_nobody_for_anything(tab, page):
    assert tab.console == []
    assert tab.requests[0] == page.resolve().as_uri()
    assert [url for url in tab.requests[1:] if not url.startswith(("data:", "blob:"))] == []


def test_the_page_may_not_fetch_nor_run_what_it_did_not_bring(tab):
    refused = (
        "new Promise((done) => { addEventListener('securitypolicyviolation', (e) => done(e.effectiveDirective), "
        "{once: true}); fetch('https://localhost:9/').catch(() => setTimeout(() => done('nobody'), 2000)); })"
    )
    assert tab.run(refused) == "connect-src"
    tab.run(
        "(() => { const s = document.createElement('script'); s.textContent = 'window.ran = 1'; "
        "document.body.append(s); })()"
    )
    assert tab.run("window.ran") is None


def test_nothing_hangs_over_the_edge(tab):
    assert tab.run("document.documentElement.scrollWidth <= innerWidth")


def test_the_viewer_draws_scan_and_masks(tab, tmp_path):
    for pane in (LEFT, RIGHT):
        picture = pixels(tab, tmp_path, pane)
        assert picture.std() > 0.1
        assert tinted(picture, Label.OEDEMA) > 100
        assert tinted(picture, Label.ENHANCING) > 50
    assert (shown(tab)["left"], shown(tab)["right"]) == ("reference", "gkd")


def test_each_pane_has_a_mask_of_its_own(tab, tmp_path):
    reference, gkd = pixels(tab, tmp_path, LEFT), pixels(tab, tmp_path, RIGHT)
    assert not np.array_equal(reference, gkd)
    choose(tab, RIGHT, "none")
    assert tinted(pixels(tab, tmp_path, RIGHT), Label.OEDEMA) == 0
    assert tinted(pixels(tab, tmp_path, LEFT), Label.OEDEMA) > 100
    choose(tab, RIGHT, "supervised")
    other = pixels(tab, tmp_path, RIGHT)
    assert tinted(other, Label.OEDEMA) > 100
    assert not np.array_equal(other, gkd)
    assert shown(tab)["right"] == "supervised"
    assert "supervised from flair: Dice WT 0.500." in tab.run(f"document.querySelector('{RIGHT} .told').textContent")


def test_the_sequence_is_chosen_for_both_panes(tab, tmp_path):
    before = [pixels(tab, tmp_path, pane) for pane in (LEFT, RIGHT)]
    choose(tab, "#viewer", "flair")
    assert shown(tab)["sequence"] == "flair"
    for pane, old in zip((LEFT, RIGHT), before, strict=True):
        assert np.abs(pixels(tab, tmp_path, pane) - old).mean() > 0.01
    assert tab.run("document.querySelector('#viewer input[value=\"t2\"]').disabled")


def test_a_method_that_does_not_serve_the_subset_cannot_be_chosen(tab):
    tab.run(
        "(() => { const s = document.getElementById('viewer-subset'); s.value = 't1ce'; "
        "s.dispatchEvent(new Event('change')); })()"
    )
    tab.wait("document.getElementById('viewer').dataset.state === 'ready'")
    assert shown(tab)["subset"] == "t1ce"
    assert shown(tab)["right"] == "none"
    assert tab.run(f"document.querySelector('{RIGHT} input[value=\"gkd\"]').disabled")


@pytest.mark.parametrize("value", ["outline", "planes"])
def test_outline_and_planes_change_the_picture(tab, tmp_path, value):
    before = pixels(tab, tmp_path, LEFT)
    choose(tab, "#viewer", value)
    after = pixels(tab, tmp_path, LEFT)
    assert np.abs(after - before).mean() > 0.01
    assert after.std() > 0.05


def test_the_slider_moves_both_panes(tab, tmp_path):
    before = [tinted(pixels(tab, tmp_path, pane), Label.OEDEMA) for pane in (LEFT, RIGHT)]
    tab.run(
        "(() => { const s = document.getElementById('viewer-slice'); s.value = '0.1'; "
        "s.dispatchEvent(new Event('input')); })()"
    )
    after = [tinted(pixels(tab, tmp_path, pane), Label.OEDEMA) for pane in (LEFT, RIGHT)]
    assert min(before) > 0
    assert max(after) == 0


def test_a_failure_in_the_list_is_a_link_to_its_picture(tab):
    link = "a[data-case='case-b'][data-run='supervised-t1ce']"
    tab.click(link)
    tab.wait("document.getElementById('viewer').dataset.case === 'case-b'")
    tab.wait("document.getElementById('viewer').dataset.state === 'ready'")
    assert (shown(tab)["right"], shown(tab)["subset"]) == ("supervised", "t1ce")


def test_maps_stand_side_by_side_or_behind_tabs(tab):
    visible = "[...document.querySelectorAll('#map-dice-0 .panel')].filter(p => p.offsetParent).length"
    if tab.run("innerWidth") > 1000:
        assert tab.run(visible) == 4
        return
    assert tab.run(visible) == 1
    tab.click("label[for='dice-0-ET']")
    assert tab.run(visible) == 1
    assert tab.run("document.querySelectorAll('#map-dice-0 .panel')[3].offsetParent !== null")


def test_it_stays_quiet_while_it_is_used(tab):
    for value in ("flair", "t1", "planes", "axial", "outline", "filled"):
        choose(tab, "#viewer", value)
    for value in ("supervised", "gkd", "reference", "none", "reference"):
        choose(tab, LEFT, value)
    assert tab.console == []
