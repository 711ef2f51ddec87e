"""One model for whatever is given: what it chooses, that it says so, and that nothing else decides a mask."""

from __future__ import annotations

import threading
from itertools import permutations, product
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from heads import SHAPE, affine, head, make_run

import limbeck
from limbeck.anatomy import Modality, Subset
from limbeck.data.source import Source
from limbeck.errors import DataError, ModelError, UsageError
from limbeck.inference.choice import Service, choose
from limbeck.inference.model import Model
from limbeck.inference.packing import pack
from limbeck.inference.postprocess import DropSmallEnhancing
from limbeck.inference.segmentation import Segmentation
from limbeck.methods.base import Method
from limbeck.methods.saved import Card, load_method


def subset(text: str) -> Subset:
    return Subset.parse(text)


def images(*roles: str, seed: int = 0) -> dict[str, Any]:
    made = head(seed)
    return {role: (made[role], affine()) for role in roles}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("runs")
    return {
        "flair": make_run(root / "flair", subset="flair"),
        "flair, other seed": make_run(root / "flair-1", subset="flair", seed=1),
        "flair, other fold": make_run(root / "flair-2", subset="flair", fold=1),
        "t1ce+t2": make_run(root / "t1ce-t2", subset="t1ce+t2"),
        "t1ce": make_run(root / "t1ce", subset="t1ce"),
        "any": make_run(root / "any", "dropout"),
    }


def model(runs: dict[str, Path], out: Path, *names: str) -> Model:
    pack([runs[name] for name in names], out)
    return Model.load(out, "cpu", "float32")


# --- the rule of choice -----------------------------------------------------------------------------------------------

FLAIR, PAIR, T2 = (Service(text, (subset(text),), False) for text in ("flair", "t1ce+t2", "t2"))
SECOND = Service("a second flair", (subset("flair"),), False)
ANY = Service("any", Subset.every(), True)


@pytest.mark.parametrize(
    ("services", "given", "used", "members", "kind"),
    [
        ([ANY, FLAIR, PAIR], "flair", "flair", ("flair",), "specialist"),
        ([FLAIR, SECOND], "flair", "flair", ("a second flair", "flair"), "specialist"),
        # Rather all of it by the generalist than a part of it by a specialist.
        ([FLAIR, PAIR, ANY], "flair+t2", "flair+t2", ("any",), "generalist"),
        ([FLAIR, PAIR, T2], "all", "t1ce+t2", ("t1ce+t2",), "specialist"),
        # Of equals the first in the order of the 15 subsets, whichever stood first in the pack.
        ([T2, FLAIR], "all", "flair", ("flair",), "specialist"),
    ],
)
def test_the_choice_follows_its_rule(services, given, used, members, kind) -> None:
    for order in permutations(services):
        choice = choose(subset(given), order)
        assert (str(choice.subset), choice.members, choice.kind) == (str(subset(used)), members, kind)


def test_what_no_member_can_use_is_refused_with_what_the_model_serves() -> None:
    with pytest.raises(
        UsageError, match=r"needs t2 or t1ce\+t2 but was given t1ce: t2 is missing; the weights in the box"
    ):
        choose(subset("t1ce"), [PAIR, T2])


# --- what it says -----------------------------------------------------------------------------------------------------


def test_a_sequence_that_is_not_used_is_told_and_changes_nothing(runs, tmp_path) -> None:
    one = Model.load(runs["t1ce"], "cpu", "float32")
    alone = one.segment(images("t1ce"))
    nowhere = {**images("t1ce"), "t2": tmp_path / "nowhere.nii.gz", "flair": np.full(SHAPE, np.nan)}
    nowhere["flair"] = (nowhere["flair"], affine())
    beside = one.segment(nowhere)
    assert alone.warnings == ()
    assert [text.split(":")[0] for text in beside.warnings] == [
        "flair was given and not used",
        "t2 was given and not used",
    ]
    assert np.array_equal(alone.scores, beside.scores)
    assert str(beside.subset) == "t1ce" == str(beside.choice.subset)


def test_what_is_odd_about_images_is_told_and_refuses_nothing(runs, monkeypatch) -> None:
    class Doubt:
        what, remedy = "t1ce looks like a t2 image", "check the file"

    seen = []
    monkeypatch.setattr(
        "limbeck.inference.model.doubts", lambda found, grid: seen.append((dict(found), grid)) or [Doubt]
    )
    given = images("t1ce")
    result = Model.load(runs["t1ce"], "cpu", "float32").segment(given)
    assert result.warnings == ("t1ce looks like a t2 image: check the file",)
    ((found, grid),) = seen
    assert np.array_equal(found[Modality.T1CE], given["t1ce"][0]) and grid.shape == SHAPE


def test_a_model_says_what_decides_its_masks_wherever_it_lies(runs, tmp_path) -> None:
    first = model(runs, tmp_path / "pack", "flair", "any")
    (tmp_path / "pack").rename(tmp_path / "moved")
    assert Model.load(tmp_path / "moved").identity() == first.identity()
    assert first.identity()["name"] == "pack"
    found = first.identity()["members"]
    assert [(one["method"], one["step"]) for one in found] == [("dropout", 3), ("supervised", 3)]
    assert len({one["experiment"] for one in found}) == 2
    assert Model.load(runs["flair"]).identity()["members"] == [found[1]]


# --- what it computes -------------------------------------------------------------------------------------------------


def test_a_pack_gives_what_its_chosen_run_gives(runs, tmp_path) -> None:
    packed = model(runs, tmp_path / "pack", "t1ce", "t1ce+t2", "any")
    for roles, name in ((("t1ce",), "t1ce"), (("t2", "t1ce"), "t1ce+t2"), (("t1",), "any")):
        result = packed.segment(images(*roles))
        assert np.array_equal(result.scores, limbeck.load(runs[name], "cpu", "float32").segment(images(*roles)).scores)
        assert result.choice.kind == ("generalist" if name == "any" else "specialist")


def test_members_for_the_same_sequences_are_averaged_in_one_order(runs, tmp_path) -> None:
    names = ("flair", "flair, other seed", "flair, other fold")
    first = model(runs, tmp_path / "one", *names).segment(images("flair"))
    second = model(runs, tmp_path / "two", *reversed(names)).segment(images("flair"))
    assert np.array_equal(first.scores, second.scores)
    alone = [Model.load(runs[name], "cpu", "float32").segment(images("flair")).scores for name in names]
    np.testing.assert_allclose(first.scores, np.mean(alone, axis=0), atol=1e-6)
    assert not np.allclose(first.scores, alone[0], atol=1e-3)
    assert len(first.choice.members) == 3


def test_only_the_chosen_members_are_read_into_memory(runs, tmp_path, monkeypatch) -> None:
    loaded = []

    def noted(folder: Path, card: Card) -> Method[Any]:
        loaded.append(folder.name)
        return load_method(folder, card)

    monkeypatch.setattr("limbeck.inference.model.load_method", noted)
    packed = model(runs, tmp_path / "pack", "flair", "t1ce", "any")
    assert loaded == []
    packed.read(images("t1ce"))
    assert loaded == []
    packed.segment(images("t1ce"))
    packed.segment(images("t1ce"))
    assert [name.split("-")[1] for name in loaded] == ["t1ce"]


def test_a_mask_depends_on_no_other_patient_no_order_and_no_thread(runs, tmp_path) -> None:
    packed = model(runs, tmp_path / "pack", "flair", "t1ce+t2", "any")
    patients = [images("flair", seed=1), images("t1ce", "t2", seed=2), images("t1", seed=3), images("flair", seed=4)]
    fresh = [Model.load(tmp_path / "pack", "cpu", "float32").segment(patient).scores for patient in patients]
    forwards = [packed.segment(patient).scores for patient in patients]
    backwards = [packed.segment(patient).scores for patient in reversed(patients)][::-1]
    threaded: dict[int, Segmentation] = {}

    def work(index: int) -> None:
        threaded[index] = packed.segment(patients[index])

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(patients))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, scores in enumerate(fresh):
        for other in (forwards[index], backwards[index], threaded[index].scores):
            assert np.array_equal(scores, other)


def test_a_patient_is_read_without_a_tensor_of_a_network(runs) -> None:
    patient = Model.load(runs["flair"], "cpu", "float32").read(images("flair"))
    assert isinstance(patient.prepared.images, np.ndarray)


def test_a_file_and_its_array_give_the_same_mask(runs, tmp_path) -> None:
    given = images("flair")["flair"]
    nib.save(nib.Nifti1Image(*given), tmp_path / "flair.nii.gz")
    one = Model.load(runs["flair"], "cpu", "float32")
    expected = one.segment({"flair": given}).scores
    for path in (tmp_path / "flair.nii.gz", str(tmp_path / "flair.nii.gz"), Source(tmp_path / "flair.nii.gz")):
        assert np.array_equal(one.segment({"flair": path}).scores, expected)


@pytest.mark.parametrize("spoil", [(np.zeros((3, 3)), affine()), (np.ones(SHAPE, complex), affine())])
def test_an_array_that_is_no_volume_is_refused(spoil, runs) -> None:
    with pytest.raises(UsageError, match=r"flair: an array of .*: expected numbers \[X,Y,Z\]"):
        Model.load(runs["flair"]).read({"flair": spoil})


@pytest.mark.parametrize("wrong", [np.eye(3), np.zeros((4, 4)), np.full((4, 4), np.nan), np.diag([1, 1, 1, 2.0])])
def test_an_affine_that_is_none_is_refused(wrong, runs) -> None:
    with pytest.raises(UsageError, match=r"flair: no affine \[4,4\]"):
        Model.load(runs["flair"]).read({"flair": (head()["flair"], wrong)})


@pytest.mark.parametrize("given", [np.zeros(SHAPE), None, (np.zeros(SHAPE),), 3])
def test_what_is_neither_a_path_nor_an_array_with_its_affine_is_refused(given, runs) -> None:
    with pytest.raises(UsageError, match=r"flair: a \w+: expected a path, or an array"):
        Model.load(runs["flair"]).read({"flair": given})


def test_a_sequence_under_two_names_is_refused(runs) -> None:
    with pytest.raises(UsageError, match="flair is given twice"):
        Model.load(runs["flair"]).read({**images("flair"), "t2f": images("flair")["flair"]})


def test_processing_changes_the_labels_alone(runs) -> None:
    one = Model.load(runs["flair"], "cpu", "float32")
    plain = one.segment(images("flair"))
    step = DropSmallEnhancing(1e9)
    processed = one.segment(images("flair"), processing=step)
    assert (plain.labels == 3).any(), "an untrained network should draw some of everything here"
    assert np.array_equal(processed.labels, np.where(plain.labels == 3, 1, plain.labels))
    assert np.array_equal(processed.scores, plain.scores)


def test_a_damaged_run_is_told_before_a_scan_is_read(runs, tmp_path) -> None:
    folder = make_run(tmp_path / "run")
    for weights in folder.rglob("weights-*"):
        weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(ModelError, match="damaged"):
        Model.load(folder)


# --- on the scan's own grid -------------------------------------------------------------------------------------------


def turned(
    array: np.ndarray, matrix: np.ndarray, order: tuple[int, ...], flips: tuple[bool, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """The same voxels at the same places, stored along other axes and in other directions."""
    stored = array.transpose(order)
    steps = matrix[:, [*order, 3]]
    for axis, flip in enumerate(flips):
        if flip:
            steps[:, 3] += steps[:, axis] * (stored.shape[axis] - 1)
            steps[:, axis] *= -1
            stored = np.flip(stored, axis)
    return stored, steps


def oblique(spacing: tuple[float, float, float]) -> np.ndarray:
    """Axes 12 degrees askew, so that orientation is a matter of nearness."""
    angle = np.deg2rad(12)
    rotation = np.eye(4)
    rotation[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return rotation @ affine(spacing)


@pytest.mark.parametrize(
    "matrix", [affine(), oblique((3.0, 3.0, 3.0)), affine((3.0, 2.0, 5.0))], ids=["straight", "oblique", "anisotropic"]
)
def test_a_mask_does_not_depend_on_how_voxels_are_stored(matrix, runs) -> None:
    one = Model.load(runs["flair"], "cpu", "float32")
    array = head()["flair"]
    wanted = one.segment({"flair": (array, matrix)})
    assert len(np.unique(wanted.labels)) > 2
    for number, order in enumerate(permutations(range(3))):
        for flips in list(product((False, True), repeat=3))[number % 2 :: 2]:
            stored, steps = turned(array, matrix, order, flips)
            found = one.segment({"flair": (stored, steps)})
            assert found.labels.shape == stored.shape and found.labels.dtype == np.uint8
            np.testing.assert_allclose(found.grid.affine, steps, atol=1e-5)
            assert np.array_equal(found.labels, turned(wanted.labels, matrix, order, flips)[0])


def test_a_volume_in_millilitres_is_that_of_the_voxels(runs) -> None:
    result = Model.load(runs["flair"], "cpu", "float32").segment({"flair": (head()["flair"], oblique((3.0, 2.0, 5.0)))})
    assert result.volumes_ml()["ET"] == pytest.approx((result.labels == 3).sum() * 0.03)
    assert result.volumes_ml()["WT"] == pytest.approx((result.labels > 0).sum() * 0.03)


# --- other grids ------------------------------------------------------------------------------------------------------


def test_other_grids_are_refused_with_the_remedy(runs) -> None:
    two = images("t1ce", "t2")
    two["t2"] = (two["t2"][0], affine((3.0, 3.0, 3.5)))
    with pytest.raises(DataError, match=r"affine off by .*register.*--resample"):
        Model.load(runs["t1ce+t2"]).read(two)


def test_other_grids_are_resampled_on_request_and_told(runs) -> None:
    one = Model.load(runs["t1ce+t2"], "cpu", "float32")
    two = images("t1ce", "t2")
    whole = one.segment(two)
    stored = turned(*two["t2"], (2, 0, 1), (True, False, True))
    result = one.segment({**two, "t2": stored}, resample=True)
    assert result.grid.difference(whole.grid) is None
    assert np.array_equal(result.labels, whole.labels), "voxels that only lie otherwise come back as they were"
    assert len(result.warnings) == 1
    assert "t2 (12 x 14 x 16) was resampled onto the grid of t1ce (14 x 16 x 12)" in result.warnings[0]
    assert "nothing was registered" in result.warnings[0]


def test_a_scan_whose_left_and_right_are_a_guess_is_used_and_told(runs, tmp_path) -> None:
    array, where = images("flair")["flair"]
    image = nib.Nifti1Image(array, where)
    image.set_qform(None, 0)
    image.set_sform(None, 0)
    nib.save(image, tmp_path / "flair.nii.gz")
    told = Model.load(runs["flair"], "cpu", "float32").segment({"flair": tmp_path / "flair.nii.gz"}).warnings
    assert [line for line in told if "is a guess: left and right may be swapped" in line]
