"""The viewer's volumes: whole, on the scan's own grid, in the right codes; and NiiVue as it was published."""

import base64
import gzip
import hashlib
import json
import re
from dataclasses import replace
from importlib import resources

import nibabel as nib
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from limbeck.anatomy import Label
from limbeck.errors import DataError
from limbeck.report.figures import TISSUE_COLOURS
from limbeck.report.viewer import Mask, Scene, embed, licences, scripts

AFFINE = np.array([[0.0, -2, 0, 30], [1.5, 0, 0, -20], [0, 0, 3, 5], [0, 0, 0, 1]])


@pytest.fixture
def scene() -> Scene:
    reference = np.zeros((10, 12, 8), np.uint8)
    reference[2:5, 6:9, 3:6] = Label.OEDEMA
    reference[3, 7, 3:6] = Label.ENHANCING
    image = np.zeros(reference.shape, np.float32)
    image[1:-1, 1:-1, 1:-1] = np.linspace(-50, 900, 8 * 10 * 6).reshape(8, 10, 6)
    mask = Mask("gkd-flair-f0", "gkd", "flair", np.roll(reference, 1, 0), {"WT": 0.123456})
    return Scene("case", AFFINE, {"flair": image}, reference, [mask])


def index(text: str) -> dict:
    return json.loads(re.search('id="viewer-index">(.*?)</script>', text).group(1))


def volume(text: str, name: str) -> nib.Nifti1Image:
    block = re.search(f'<script type="text/plain" id="{name}">(.*?)</script>', text).group(1)
    return nib.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(block)))


def test_masks_arrive_as_they_were(scene):
    text = embed([scene])
    (case,) = index(text)["cases"]
    for name, labels in ((case["reference"], scene.reference), (case["masks"][0]["volume"], scene.masks[0].labels)):
        found = volume(text, name)
        assert np.array_equal(np.asarray(found.dataobj), labels)
        assert np.allclose(found.affine, AFFINE)
        assert found.get_data_dtype() == np.uint8
        # By this NiiVue knows that it may draw outlines.
        assert found.header.get_intent()[0] == "label"
    assert case["masks"][0] | {"volume": ""} == {
        "run": "gkd-flair-f0",
        "label": "gkd",
        "subset": "flair",
        "dice": {"WT": 0.123},
        "measure": "Dice",
        "volume": "",
    }


def test_scans_keep_their_order_of_grey_and_their_outside(scene):
    text = embed([scene])
    found = np.asarray(volume(text, index(text)["cases"][0]["images"]["flair"]).dataobj)
    image = scene.images["flair"]
    assert np.array_equal(found == 0, image == 0)
    inside = found[image != 0].astype(int)
    assert (np.diff(inside[np.argsort(image[image != 0])]) >= 0).all()
    assert (inside.min(), inside.max()) == (1, 255)


def test_it_opens_in_the_middle_of_the_fullest_slice(scene):
    # Voxel (3, 7, 4) by the affine: x = 30 - 2 * 7, y = 1.5 * 3 - 20, z = 5 + 3 * 4.
    assert index(embed([scene]))["cases"][0]["start"] == [16.0, -15.5, 17.0]
    empty = replace(scene, reference=np.zeros_like(scene.reference), masks=[])
    assert index(embed([empty]))["cases"][0]["start"] == [19.0, -13.25, 15.5]


def test_it_draws_the_brain_as_large_as_fits(scene):
    image = np.zeros(scene.reference.shape)
    image[4:6, 3:9, 3:5] = 1.0
    assert index(embed([replace(scene, images={"t1": image})]))["cases"][0]["zoom"] == pytest.approx(
        0.96 / 0.5, abs=1e-3
    )
    assert index(embed([scene]))["cases"][0]["zoom"] == pytest.approx(0.96 / (2 * 5 / 12), abs=1e-3)


def test_colours_go_with_the_codes(scene):
    colours = index(embed([scene]))["colours"]
    for place, code in enumerate(colours["I"]):
        if code:
            wanted = [round(255 * part) for part in to_rgb(TISSUE_COLOURS[Label(code)])]
            assert [colours[channel][place] for channel in "RGB"] == wanted
        assert colours["A"][place] == (255 if code else 0)


def test_names_cannot_leave_the_index(scene):
    hostile = "</script><script>alert(1)</script>"
    masks = [replace(scene.masks[0], run=hostile, label=hostile)]
    text = embed([replace(scene, case=hostile, masks=masks)])
    assert hostile not in text
    assert index(text)["cases"][0]["name"] == hostile


def test_the_same_scene_gives_the_same_text(scene):
    text = embed([scene])
    assert embed([scene]) == text
    block = base64.b64decode(re.search('id="volume-0">(.*?)</script>', text).group(1))
    # The time in gzip's header.
    assert block[4:8] == bytes(4)


def test_a_mask_that_does_not_fit_is_named(scene):
    masks = [replace(scene.masks[0], labels=scene.reference[1:])]
    with pytest.raises(DataError, match=r"'case'.*gkd-flair-f0 from flair.*\(9, 12, 8\)"):
        embed([replace(scene, masks=masks)])
    with pytest.raises(DataError, match="no image"):
        embed([replace(scene, images={})])


def test_niivue_is_what_its_authors_published():
    vendor = resources.files("limbeck.report").joinpath("vendor")
    source = json.loads(vendor.joinpath("niivue.json").read_text())
    content = vendor.joinpath("niivue.umd.js").read_bytes()
    assert hashlib.sha256(content).hexdigest() == source["sha256"]
    assert scripts()[0].encode() == content
    texts = vendor.joinpath("LICENCES.txt").read_text()
    for package in (source["package"], *(part["package"] for part in source["bundled"])):
        assert f"= {package}" in texts
    assert "Copyright (c) 2021, Niivue" in licences()
    assert source["version"] in licences()
