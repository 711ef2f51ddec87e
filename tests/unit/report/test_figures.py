"""Pictures: the right slice the right way up, the right colours, and a file that is whole."""

import matplotlib.image
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from limbeck.anatomy import Label, Region, Subset
from limbeck.errors import DataError
from limbeck.evaluation.table import Row
from limbeck.report import figures, tables

SHAPE = (40, 50, 12)


@pytest.fixture
def image() -> np.ndarray:
    volume = np.zeros(SHAPE, dtype=np.float32)
    volume[2:-2, 2:-2] = 1.0
    volume[10:30, 10:40] = 2.0
    return volume


def tumour(first: int, last: int, label: Label = Label.ENHANCING, level: int = 7) -> np.ndarray:
    """A block in the patient's front, in one slice; `last - first` voxels wide."""
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[32 - last : 32 - first, 34:44, level] = label
    return labels


def pixels(path) -> np.ndarray:
    return matplotlib.image.imread(path)[..., :3]


def near(picture: np.ndarray, colour: str, tolerance: float = 0.08) -> np.ndarray:
    """Where a picture has a colour, without the legend below it."""
    height = int(picture.shape[0] * 0.85)
    return np.abs(picture[:height] - np.array(to_rgb(colour))).max(axis=-1) < tolerance


def test_the_slice_with_most_tumour_is_chosen():
    labels = tumour(0, 4, level=3) + tumour(0, 9, level=8)
    assert figures.fullest_slice(labels) == 8
    assert figures.fullest_slice(np.zeros(SHAPE, np.uint8)) == 6


def test_the_overlay_shows_each_map_in_its_own_panel(tmp_path, image):
    maps = {"reference": tumour(0, 9), "alone": np.zeros(SHAPE, np.uint8), "distilled": tumour(0, 9, Label.OEDEMA)}
    path = figures.overlay(tmp_path / "a.png", image, maps, reference="reference", image_title="t1ce")
    picture = pixels(path)
    panels = np.array_split(np.arange(picture.shape[1]), 4)
    yellow, blue = (
        near(picture, figures.TISSUE_COLOURS[label]).sum(axis=0) for label in (Label.ENHANCING, Label.OEDEMA)
    )
    assert [bool(yellow[panel].any()) for panel in panels] == [False, True, False, False]
    assert [bool(blue[panel].any()) for panel in panels] == [False, False, False, True]


@pytest.mark.parametrize("codes", ["RAS", "LPS", "SRA"])
def test_the_patient_right_is_left_and_the_front_on_top_whatever_the_storage(tmp_path, image, codes):
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[29:36, 36:46, 7] = Label.ENHANCING  # the patient's right and front, in RAS
    axes = {"RAS": ((0, 1, 2), ()), "LPS": ((0, 1, 2), (0, 1)), "SRA": ((2, 0, 1), ())}
    order, flipped = axes[codes]
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for column, axis in enumerate(order):
        affine[axis, column] = -1 if column in flipped else 1
    stored = [np.flip(volume.transpose(order), flipped) for volume in (image, labels)]
    path = figures.overlay(
        tmp_path / "a.png", stored[0], {"reference": stored[1]}, reference="reference", affine=affine
    )
    picture = pixels(path)
    rows, columns = np.nonzero(near(picture, figures.TISSUE_COLOURS[Label.ENHANCING]))
    assert rows.mean() < 0.4 * picture.shape[0]
    assert 0.5 * picture.shape[1] < columns.mean() < 0.68 * picture.shape[1]


def test_thick_voxels_are_drawn_in_proportion(tmp_path, image):
    square = pixels(figures.overlay(tmp_path / "a.png", image, {"r": tumour(0, 9)}, reference="r"))
    affine = np.diag([1.0, 2.0, 1.0, 1.0])
    tall = pixels(figures.overlay(tmp_path / "b.png", image, {"r": tumour(0, 9)}, reference="r", affine=affine))
    added = 3.0 * (46 / 36) * 160  # the brain is 36 by 46 voxels; a panel is three inches wide
    assert tall.shape[1] == square.shape[1]
    assert tall.shape[0] - square.shape[0] == pytest.approx(added, rel=0.15)


def test_a_case_without_tumour_or_brain_is_drawn(tmp_path):
    empty = np.zeros(SHAPE, np.uint8)
    path = figures.overlay(tmp_path / "a.png", empty.astype(float), {"reference": empty}, reference="reference")
    assert pixels(path).shape[1] > 100


def test_maps_that_do_not_fit_are_named(tmp_path, image):
    with pytest.raises(DataError, match=r"alone: .*expected the image's"):
        figures.overlay(tmp_path / "a.png", image, {"r": tumour(0, 9), "alone": tumour(0, 9)[1:]}, reference="r")
    with pytest.raises(DataError, match="'reference'; expected one of r"):
        figures.overlay(tmp_path / "a.png", image, {"r": tumour(0, 9)}, reference="reference")
    assert list(tmp_path.iterdir()) == []


def log(path, lines):
    path.write_text("step,epoch,name,value\n" + "".join(f"{line}\n" for line in lines))
    return path


def test_training_curves_draw_each_run_and_terms_alone(tmp_path):
    falling = [f"{step},0,main/seg,{1 / step}" for step in range(1, 40)]
    dice = [f"{step},0,validation_dice,{step / 50}" for step in range(10, 40, 10)]
    one = log(tmp_path / "one.csv", falling + dice)
    noise = [f"{step},0,{name},0.1" for step in (1, 39) for name in ("loss", "main/gradient_norm", "seconds")]
    two = log(tmp_path / "two.csv", falling + dice + noise)
    picture = pixels(figures.training_curves(tmp_path / "a.png", {"alone": one, "distilled": two}))
    assert near(picture, figures.RUN_COLOURS[1]).any()
    alone = pixels(figures.training_curves(tmp_path / "b.png", {"alone": one}))
    assert not near(alone, figures.RUN_COLOURS[1]).any()
    assert alone.shape == picture.shape  # what is no term has no panel


def test_learning_curves_draw_the_validation_of_every_run_and_terms_alone(tmp_path):
    falling = [f"{step},0,main/seg,{1 / step}" for step in range(1, 40)]
    dice = [f"{step},0,validation_dice,{step / 50}" for step in range(10, 40, 10)]
    one = log(tmp_path / "one.csv", falling + dice)
    noise = [f"{step},0,{name},99" for step in (1, 39) for name in ("loss", "main/gradient_norm", "seconds")]
    two = log(tmp_path / "two.csv", falling + dice + noise)
    quiet = pixels(figures.learning_curves(tmp_path / "a.png", [one, one]))
    # In the upper half, since the first term below has the same colour.
    assert near(quiet[: len(quiet) // 2], figures.RUN_COLOURS[0]).any()
    # What is no term changes nothing.
    assert np.array_equal(quiet, pixels(figures.learning_curves(tmp_path / "b.png", [one, two])))


def test_learning_curves_of_runs_that_were_never_validated(tmp_path):
    one = log(tmp_path / "one.csv", ["1,0,main/seg,1.5"])
    assert pixels(figures.learning_curves(tmp_path / "a.png", [one])).shape[0] > 100


@pytest.mark.parametrize("content", [[], ["1,0,main/seg,high"], ["1"], ["1,0,seconds,0.1"]])
def test_a_log_that_is_none_is_named(tmp_path, content):
    with pytest.raises(DataError, match=r"log\.csv"):
        figures.training_curves(tmp_path / "a.png", {"alone": log(tmp_path / "log.csv", content)})
    with pytest.raises(DataError, match=r"absent\.csv"):
        figures.training_curves(tmp_path / "a.png", {"alone": tmp_path / "absent.csv"})


def test_dice_by_region_draws_every_run_and_writes_the_same_file_again(tmp_path):
    rows = [
        Row(method, method, 0, 0, f"case-{case}", Subset.parse("t1ce"), region, "dice", value / (1 + region))
        for method in ("supervised", "gkd")
        for case, value in enumerate(np.linspace(0.3, 0.9, 9))
        for region in Region
    ]
    comparison = tables.compare(rows)
    path = figures.dice_by_region(tmp_path / "a.png", comparison)
    picture = pixels(path)
    for colour in figures.RUN_COLOURS[:2]:
        assert near(picture, colour).sum() > 500
    first = path.read_bytes()
    assert figures.dice_by_region(path, comparison).read_bytes() == first
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.png"]
