"""What stands in the way is told first, what is finished is kept, and nothing is written that is not right."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from segmenting import write_model

from limbeck.errors import ModelError, ResourceError, UsageError
from limbeck.export import exporting
from limbeck.export.agreement import Agreement
from limbeck.export.exporting import export, json_of, members_of, places_of
from limbeck.inference.member import Member

SAID = Agreement(2e-7, ((1, 16, 16, 16),))


class Bench:
    """A model, and a translation that takes no time and is counted."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.model, self.out = root / "model", root / "out"
        self.made = 0
        monkeypatch.setattr(exporting, "check_extra", lambda: None)
        monkeypatch.setattr(exporting, "to_onnx", self.to_onnx)
        monkeypatch.setattr(exporting, "compare", lambda *given: SAID)

    def to_onnx(self, method: Any, notes: dict[str, str]) -> bytes:
        self.made += 1
        return f"{method.context.subsets} {sorted(notes)}".encode()

    def export(self, out: Path, **options: Any) -> list[exporting.Exported]:
        return export(members_of(self.model), out, **options)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    write_model(root / "specialist", "supervised")
    write_model(root / "generalist")
    return root


@pytest.fixture
def bench(tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    shutil.copytree(models / "specialist", tmp_path / "model")
    return Bench(tmp_path, monkeypatch)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_and_its_json_lie_there(bench: Bench) -> None:
    (one,) = bench.export(bench.out)
    assert names(bench.out) == ["supervised-flair.json", "supervised-flair.onnx"]
    assert json.loads(json_of(one.path).read_text()) == one.facts and not one.kept
    (member,) = members_of(bench.model)
    assert one.facts["model"]["weights_sha256"] == sorted(member.weights.values())
    assert one.facts["inputs"][0]["sequences"] == ["flair"]
    assert (one.facts["space"]["spacing_mm"], one.facts["window"]["patch"]) == (3.0, [16, 16, 16])
    assert one.facts["agreement"] == {
        "largest_difference": 2e-7,
        "tolerance": 1e-4,
        "image_shapes": [[1, 16, 16, 16]],
    }


def test_what_is_finished_is_kept(bench: Bench) -> None:
    counted: list[int] = []
    first = bench.export(bench.out)
    (again,) = bench.export(bench.out, done=counted.append)
    assert (bench.made, again.kept, counted, again.facts) == (1, True, [1], first[0].facts)


@pytest.mark.parametrize("spoil", ["onnx", "json", "other weights"])
def test_what_is_not_finished_is_neither_kept_nor_replaced_unasked(bench: Bench, spoil: str) -> None:
    (one,) = bench.export(bench.out / "one.onnx")
    if spoil == "onnx":
        one.path.write_bytes(b"torn")
    elif spoil == "json":
        json_of(one.path).unlink()
    else:
        facts = one.facts | {"model": {**one.facts["model"], "weights_sha256": ["0" * 64]}}
        json_of(one.path).write_text(json.dumps(facts))
    before = one.path.read_bytes()
    with pytest.raises(UsageError, match="exists: give --overwrite to replace it"):
        bench.export(one.path)
    assert one.path.read_bytes() == before
    (new,) = bench.export(one.path, overwrite=True)
    assert new.facts == one.facts and bench.made == 2
    assert bench.export(one.path)[0].kept


def test_a_file_that_is_replaced_never_lies_beside_the_json_of_another(bench: Bench, monkeypatch) -> None:
    (one,) = bench.export(bench.out / "one.onnx")

    def stopped(path: Path, content: object) -> None:
        assert not one.path.exists()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(exporting, "write_json", stopped)
        bench.export(one.path, overwrite=True)
    bench.export(one.path)
    assert one.path.exists()


def test_a_json_that_a_killed_process_left_is_ours_to_replace(bench: Bench) -> None:
    (one,) = bench.export(bench.out / "one.onnx")
    one.path.unlink()
    bench.export(one.path)
    assert bench.made == 2 and one.path.is_file()


def test_a_json_of_somebody_else_is_left_alone(bench: Bench) -> None:
    bench.out.mkdir()
    (bench.out / "one.json").write_text('{"file": {}}')
    with pytest.raises(UsageError, match=r"one\.json exists and is not of limbeck export"):
        bench.export(bench.out / "one.onnx")
    assert names(bench.out) == ["one.json"] and bench.made == 0


def test_a_file_that_differs_from_torch_is_not_written(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def differs(*given: object) -> Agreement:
        raise ModelError("its ONNX file gives other scores than torch")

    monkeypatch.setattr(exporting, "compare", differs)
    with pytest.raises(ModelError, match="supervised-flair: its ONNX file gives other scores"):
        bench.export(bench.out)
    assert not bench.out.exists()


def test_a_disk_that_fills_leaves_no_file_of_onnx(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exporting, "write_json", full)
    with pytest.raises(ResourceError, match="no space left"):
        bench.export(bench.out)
    assert names(bench.out) == []


def test_each_member_has_its_file_and_one_file_is_for_one(bench: Bench, models: Path) -> None:
    pair = (*members_of(models / "generalist"), *members_of(bench.model))
    made = export(pair, bench.out)
    assert [one.path.name for one in made] == ["dropout-any.onnx", "supervised-flair.onnx"]
    general = made[0].facts
    assert [one["name"] for one in general["inputs"]] == ["images", "available"]
    assert general["inputs"][0]["sequences"] == ["flair", "t1", "t1ce", "t2"]
    with pytest.raises(UsageError, match="the model has 2 members: expected a folder"):
        export(pair, bench.out / "both.onnx")


def test_what_stands_in_the_way_is_told_before_any_work(bench: Bench, models: Path) -> None:
    bench.out.mkdir()
    (bench.out / "supervised-flair.onnx").touch()
    with pytest.raises(UsageError, match="exists"):
        export((*members_of(models / "generalist"), *members_of(bench.model)), bench.out)
    assert bench.made == 0 and names(bench.out) == ["supervised-flair.onnx"]


@pytest.mark.parametrize("name", ["../elsewhere", "a/b", ".hidden", ""])
def test_a_name_that_leads_elsewhere_is_refused(bench: Bench, name: str) -> None:
    (member,) = members_of(bench.model)
    with pytest.raises(ModelError, match="no plain name"):
        places_of((Member(name, member.folder, member.card, member.generalist),), bench.out)
