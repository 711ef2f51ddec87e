"""A pack: whole or absent, the same bytes for the same runs, and nothing damaged or strange is loaded from it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from heads import affine, head, make_run

from limbeck.cli import main
from limbeck.errors import ModelError, ResourceError, UsageError
from limbeck.inference import packing
from limbeck.inference.model import Model
from limbeck.inference.packing import pack
from limbeck.normalisation import Normalisation


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("runs")
    return [
        make_run(root / "flair"),
        make_run(root / "flair-again", seed=1),
        make_run(root / "t1", subset="t1"),
        make_run(root / "any", "dropout"),
    ]


@pytest.fixture(scope="module")
def whole(runs: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("packs") / "whole"
    pack(runs, out, note="Made in a test.")
    return out


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- what is in it ----------------------------------------------------------------------------------------------------


def test_the_same_runs_give_the_same_bytes_in_any_order(runs, whole, tmp_path) -> None:
    pack(runs[::-1], tmp_path / "again", name="whole", note="Made in a test.")
    assert files(tmp_path / "again") == files(whole)


def test_a_pack_holds_weights_and_cards_and_nothing_that_only_training_needs(runs, whole) -> None:
    names = {Path(name).name.split("-")[0] for name in files(whole)}
    assert names == {"model.json", "README.md", "checkpoint.json", "weights"}
    weights = [path.read_bytes() for path in whole.rglob("weights-*")]
    assert sorted(weights) == sorted(next((run / "best").glob("weights-*")).read_bytes() for run in runs)


def test_of_a_run_without_a_best_checkpoint_the_last_is_taken_without_its_state(tmp_path) -> None:
    run = make_run(tmp_path / "run")
    shutil.rmtree(run / "best")
    pack([run], tmp_path / "pack")
    assert list((run / "last").glob("state-*")) and not list((tmp_path / "pack").rglob("state-*"))
    assert len(Model.load(tmp_path / "pack").members) == 1


def test_the_card_for_programs_tells_the_facts(whole) -> None:
    content = json.loads((whole / "model.json").read_text())
    assert content["name"] == "whole" and content["note"] == "Made in a test."
    assert (content["spacing_mm"], content["normalisation"]) == (3.0, "z-score")
    assert content["channels"] == ["flair", "t1", "t1ce", "t2"]
    assert len(content["serves"]) == 15
    kinds = {(one["kind"], one["subsets"][0], one["seed"], one["fold"]) for one in content["members"]}
    assert kinds == {("generalist", "flair", 0, 0), ("specialist", "flair", 0, 0)} | {
        ("specialist", "flair", 1, 0),
        ("specialist", "t1", 0, 0),
    }
    assert {one["validation_dice"] for one in content["members"]} == {0.5}
    assert {one["training_cases"] for one in content["members"]} == {7}
    assert {one["data"] for one in content["members"]} == {"d" * 64}


def test_the_card_for_people_says_what_must_be_said(whole) -> None:
    card = (whole / "README.md").read_text()
    for words in ("not for clinical use", "Made in a test.", "validation", "no test result", "0.500", "3 mm", "| 7 |"):
        assert words in card
    assert "enhancing tumour is a guess" in card and str(whole) not in card


def test_a_pack_moves_freely(whole, tmp_path) -> None:
    shutil.copytree(whole, tmp_path / "copy")
    result = Model.load(tmp_path / "copy").segment({"flair": (head()["flair"], affine())})
    assert len(result.choice.members) == 2


def test_a_pack_is_read_from_wherever_the_process_stands(whole, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(whole.parent)
    model = Model.load(whole.name)
    monkeypatch.chdir(tmp_path)
    assert model.segment({"flair": (head()["flair"], affine())}).labels.shape == head()["flair"].shape


# --- what is refused --------------------------------------------------------------------------------------------------


def refused(error: type[Exception], says: str, runs: list[Path], out: Path, **options: object) -> None:
    with pytest.raises(error, match=says):
        pack(runs, out, **options)
    assert not out.exists() and not list(out.parent.glob(".*")), "something was left behind"


def test_runs_that_cannot_be_one_model_are_refused(runs, whole, tmp_path) -> None:
    out = tmp_path / "out" / "pack"
    out.parent.mkdir()
    flair = runs[0]
    refused(ModelError, "nowhere does not exist", [flair, tmp_path / "nowhere"], out)
    refused(ModelError, "unfinished is no finished run", [make_run(tmp_path / "unfinished", done=False)], out)
    refused(ModelError, "best is no finished run", [flair / "best"], out)
    refused(ModelError, "whole is a pack already", [whole], out)
    copy = shutil.copytree(flair, tmp_path / "copy")
    refused(UsageError, "copy and .*flair are the same experiment", [flair, copy], out)
    coarse = make_run(tmp_path / "coarse", subset="t2", spacing_mm=4.0)
    refused(
        UsageError, r"different spaces: voxels (3 mm and 4 mm|4 mm and 3 mm): pack them apart", [flair, coarse], out
    )
    raw = make_run(tmp_path / "raw", subset="t2", normalisation=Normalisation.RAW)
    refused(UsageError, "different spaces: intensities", [flair, raw], out)
    regions = make_run(tmp_path / "regions", "rirn", subset="flair", seed=5)
    refused(UsageError, "both serve flair, but their outputs are .* cannot be averaged", [flair, regions], out)
    refused(UsageError, "no run given", [], out)
    refused(UsageError, "name 'two.nlines'", [flair], out, name="two\nlines")


def test_a_damaged_run_is_refused(tmp_path) -> None:
    run = make_run(tmp_path / "run")
    for weights in (run / "best").glob("weights-*"):
        weights.write_bytes(b"")
    (tmp_path / "out").mkdir()
    refused(ModelError, "damaged", [run], tmp_path / "out" / "pack")


def test_what_lies_where_a_pack_would_go_is_kept(runs, tmp_path) -> None:
    out = tmp_path / "pack"
    pack(runs[:1], out)
    before = files(out)
    with pytest.raises(UsageError, match="give --overwrite"):
        pack(runs[2:3], out)
    assert files(out) == before
    pack(runs[2:3], out, overwrite=True)
    assert files(out) != before and len(Model.load(out).members) == 1
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("kept")
    with pytest.raises(UsageError, match="holds something that is no pack"):
        pack(runs[:1], mine, overwrite=True)
    # Other programs call a file so too.
    (mine / "model.json").write_text('{"format": "layers-model"}')
    with pytest.raises(UsageError, match="holds something that is no pack"):
        pack(runs[:1], mine, overwrite=True)
    (out / "results").mkdir()
    with pytest.raises(UsageError, match="holds results, which is no part of a pack"):
        pack(runs[:1], out, overwrite=True)
    (tmp_path / "file").write_text("kept")
    with pytest.raises(UsageError, match="no folder"):
        pack(runs[:1], tmp_path / "file", overwrite=True)
    assert (mine / "thesis.txt").read_text() == (tmp_path / "file").read_text() == "kept"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "mine", "pack"]


def test_a_pack_that_cannot_be_written_leaves_the_old_one(runs, tmp_path, monkeypatch) -> None:
    out = tmp_path / "pack"
    pack(runs[:1], out)
    before = files(out)

    def full(path: Path, content: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(packing, "write_text", full)
    with pytest.raises(ResourceError, match="No space left"):
        pack(runs[2:3], out, overwrite=True)
    assert files(out) == before
    assert [path.name for path in tmp_path.iterdir()] == ["pack"]


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), KeyboardInterrupt()])
def test_a_pack_that_cannot_take_its_place_leaves_the_old_one(error, runs, tmp_path, monkeypatch) -> None:
    out = tmp_path / "pack"
    pack(runs[:1], out)
    before = files(out)
    rename = Path.rename

    def failing(path: Path, target: Path) -> Path:
        if ".tmp." in path.name:
            raise error
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises((ResourceError, KeyboardInterrupt)):
        pack(runs[2:3], out, overwrite=True)
    assert files(out) == before
    assert [path.name for path in tmp_path.iterdir()] == ["pack"]


# --- what is not loaded -----------------------------------------------------------------------------------------------


def _in_card(folder: Path, **changes: object) -> None:
    path = folder / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def _in_members(folder: Path, **changes: object) -> None:
    _in_card(folder, members=[{**one, **changes} for one in json.loads((folder / "model.json").read_text())["members"]])


def no_json(folder: Path) -> str:
    (folder / "model.json").write_text("{")
    return "cannot be read"


def no_object(folder: Path) -> str:
    (folder / "model.json").write_text("[]")
    return "no JSON object"


def deep(folder: Path) -> str:
    (folder / "model.json").write_text("[" * 100_000)
    return "cannot be read"


def huge(folder: Path) -> str:
    _in_card(folder, note="x" * 2**22)
    return "expected at most"


def unknown_format(folder: Path) -> str:
    _in_card(folder, format=2)
    return "format 2"


def other_channels(folder: Path) -> str:
    _in_card(folder, channels=["t1", "t1ce", "t2", "flair"])
    return "channels"


def no_members(folder: Path) -> str:
    _in_card(folder, members=[])
    return "names no members"


def no_name(folder: Path) -> str:
    _in_card(folder, name="a\x1b[31m")
    return "no name"


def other_numbers(folder: Path) -> str:
    _in_card(folder, weights="float64")
    return "expected float16"


def other_space(folder: Path) -> str:
    _in_card(folder, spacing_mm=1.0)
    return "spacing_mm of the pack is 1.0: expected 3.0"


def path_outside(folder: Path) -> str:
    _in_members(folder, name="../../elsewhere")
    return "not the name"


def absolute_path(folder: Path) -> str:
    _in_members(folder, name=str(folder / "members"))
    return "not the name"


def dots(folder: Path) -> str:
    _in_members(folder, name="..")
    return "not the name"


def number_for_a_name(folder: Path) -> str:
    _in_members(folder, name=3)
    return "not the name"


def twice(folder: Path) -> str:
    members = json.loads((folder / "model.json").read_text())["members"]
    _in_card(folder, members=[members[0], members[0]])
    return "stands in it twice"


def member_behind_a_link(folder: Path) -> str:
    member = next((folder / "members").iterdir())
    member.rename(folder.parent / "elsewhere")
    member.symlink_to(folder.parent / "elsewhere")
    return "a link"


def members_behind_a_link(folder: Path) -> str:
    (folder / "members").rename(folder.parent / "elsewhere")
    (folder / "members").symlink_to(folder.parent / "elsewhere")
    return "a link"


def lost_member(folder: Path) -> str:
    shutil.rmtree(next((folder / "members").iterdir()))
    return "missing"


def changed_member(folder: Path) -> str:
    card = next(folder.rglob("checkpoint.json"))
    card.write_text(card.read_text().replace('"step": 3', '"step": 4'))
    return "checksum differs"


def damaged_weights(folder: Path) -> str:
    weights = next(folder.rglob("weights-*"))
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(bytes(raw))
    return "damaged"


def lost_weights(folder: Path) -> str:
    next(folder.rglob("weights-*")).unlink()
    return "missing"


@pytest.mark.parametrize(
    "spoil",
    [
        *(
            no_json,
            no_object,
            deep,
            huge,
            unknown_format,
            other_channels,
            no_members,
            no_name,
            other_space,
            other_numbers,
        ),
        *(path_outside, absolute_path, dots, number_for_a_name, twice, member_behind_a_link, members_behind_a_link),
        *(lost_member, changed_member, damaged_weights, lost_weights),
    ],
    ids=lambda spoil: spoil.__name__,
)
def test_a_damaged_or_strange_pack_is_refused(spoil: Callable[[Path], str], whole, tmp_path) -> None:
    folder = shutil.copytree(whole, tmp_path / "pack")
    says = spoil(folder)
    with pytest.raises(ModelError, match=says):
        Model.load(folder)


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_packs_and_says_what_the_model_serves(runs, tmp_path, capsys) -> None:
    out = tmp_path / "pack"
    words = ["pack", str(runs[0]), str(runs[2]), "--out", str(out)]
    assert main([*words, "--name", "glioma", "--note", "For a test."]) == 0
    assert "2 members, for flair, t1" in capsys.readouterr().out
    assert Model.load(out).name == "glioma"
    assert main(words) == 2 and "--overwrite" in capsys.readouterr().err
    assert main(["pack", str(tmp_path / "nowhere"), "--out", str(tmp_path / "new")]) == 4
    assert main(["pack", str(runs[0]), str(runs[3]), "--out", str(tmp_path / "other")]) == 0
    assert "for any sequences" in capsys.readouterr().out
