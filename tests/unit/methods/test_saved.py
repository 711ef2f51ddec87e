"""A card is believed entry by entry, and its weights when they are what its settings would build."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from toy import make, subsets_of

from limbeck.errors import LimbeckError, ModelError
from limbeck.inference.predictor import load
from limbeck.methods import METHODS, find
from limbeck.methods import saved as saved_module
from limbeck.methods.saved import CARD, DONE, PREVIOUS, Card, load_card, load_method, save


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint of one generation."""
    return saved(tmp_path / "model", "supervised", network="resunet")


def saved(folder: Path, name: str, **settings: Any) -> Path:
    method = make(name, teachers=False, **settings)
    origin = {"experiment": "a" * 64, "fold": 0, "seed": 0}
    asked = dataclasses.asdict(method.settings)
    save(folder, method, Card(name, asked, subsets_of(name), find(name).target, 2.0, (16, 16, 16), origin=origin))
    return folder


def change(folder: Path, **changes: Any) -> None:
    content = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps({**content, **changes}))


def with_weights(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Other weights under the same name, with a checksum that is right."""
    (name,) = json.loads((folder / CARD).read_text())["files"]
    save_file(tensors, folder / name)
    change(folder, files={name: hashlib.sha256((folder / name).read_bytes()).hexdigest()})


def refused(folder: Path) -> str:
    with pytest.raises(ModelError) as caught:
        load(folder, "cpu")
    line = str(caught.value)
    assert line.isprintable() and len(line) < 700
    return line


@pytest.mark.parametrize("name", METHODS)
def test_every_method_comes_back_by_its_card(name: str, tmp_path: Path) -> None:
    place = saved(tmp_path / "model", name)
    method, wanted = load(place, "cpu").method, load_file(next(place.glob("weights-*")))
    assert wanted.keys() == method.state_dict().keys()
    assert all(torch.equal(wanted[key], value) for key, value in method.state_dict().items())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"format": True}, "format"),
        ({"format": 1.0}, "format"),
        ({"spacing": 2.0}, "'spacing'.*did you mean 'spacing_mm'"),
        ({"spacing_mm": "2"}, "spacing_mm is '2'"),
        ({"spacing_mm": True}, "spacing_mm is True"),
        ({"spacing_mm": 1e-300}, "from 0.1 to 100"),
        ({"spacing_mm": 1e308}, "from 0.1 to 100"),
        ({"patch": [16, 16]}, "three sizes"),
        ({"patch": "16,16,16"}, "three sizes"),
        ({"patch": [16, 16, 16.0]}, "16.0"),
        ({"patch": [16, 16, True]}, "True"),
        ({"patch": [10**9] * 3}, "1000000000"),
        ({"patch": [1024, 1024, 1024]}, "at most 67108864 voxels"),
        ({"patch": [12, 16, 16]}, "multiples of 8"),
        ({"patch": [8, 8, 8]}, "one above it"),
        ({"step": -1}, "step is -1"),
        ({"step": 1.5}, "step is 1.5"),
        ({"method": None}, "method is None"),
        ({"method": "__init__"}, "'__init__'"),
        ({"method": "base"}, "'base'"),
        ({"target": "softmax"}, "target is 'softmax'"),
        ({"target": "sigmoid-regions"}, "not the method's"),
        ({"normalisation": []}, "normalisation is"),
        ({"subsets": []}, "at least one"),
        ({"subsets": "flair"}, "list of names"),
        ({"subsets": ["flair", "flair"]}, "each once"),
        ({"subsets": ["flair", "t1"]}, "serves 2 subsets"),
        ({"subsets": ["t5"]}, "a subset is 't5'"),
        ({"settings": {"width": 8.0}}, "width is 8.0"),
        ({"settings": {"width": True}}, "width is True"),
        ({"settings": {"width": 10**6}}, "at most 128"),
        ({"settings": {"widht": 8}}, "did you mean 'width'"),
        ({"settings": {"network": "os.system"}}, "expected one of unet, vnet, resunet, nnunet"),
        ({"settings": {"network": ["unet"]}}, "network is"),
        ({"settings": []}, "settings is"),
        ({"origin": {"fold": "0"}}, "fold is '0'"),
        ({"origin": {"experiment": 5}}, "experiment is 5"),
        ({"progress": []}, "progress is"),
        ({"files": {}}, "expected weights"),
        ({"files": {"weights-/../x.safetensors": "0" * 64}}, "not a plain file name"),
        ({"files": {"/weights-x.safetensors": "0" * 64}}, "not a plain file name"),
        ({"files": {"weights-x.safetensors": "0" * 63}}, "a SHA-256"),
        ({"files": {"other-x.safetensors": "0" * 64}}, "not a plain file name"),
        ({"channels": ["t1", "flair", "t1ce", "t2"]}, "channels"),
    ],
)
def test_an_entry_of_another_kind_or_range_is_named(folder: Path, changes: dict[str, Any], says: str) -> None:
    change(folder, **changes)
    with pytest.raises(ModelError, match=says):
        load(folder, "cpu")
    refused(folder)


def test_what_a_card_lacks_is_named(folder: Path) -> None:
    whole = json.loads((folder / CARD).read_text())
    optional = {"limbeck", "torch", "numpy", "python", "label_scheme", "progress"}
    for name in whole:
        (folder / CARD).write_text(json.dumps({key: value for key, value in whole.items() if key != name}))
        if name in optional:
            load_card(folder)
        else:
            assert name in refused(folder)


# --- sizes ------------------------------------------------------------------------------------------------------------


def test_no_network_is_made_before_its_size_is_known(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of a hundred times the weights of the file ask for nothing but shapes."""
    made: list[str] = []
    build = saved_module.build

    def watched(*arguments: Any) -> Any:
        method = build(*arguments)
        made.extend({parameter.device.type for parameter in method.parameters()})
        return method

    monkeypatch.setattr(saved_module, "build", watched)
    change(folder, settings={"network": "resunet", "width": 128})
    assert "do not fit" in refused(folder)
    assert made == ["meta"]
    change(folder, settings={"network": "resunet", "width": 8})
    load(folder, "cpu")
    assert made == ["meta", "meta", "cpu"] or made == ["meta", "meta", "meta", "cpu"]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda tensor: tensor.double(), "float64"),
        (lambda tensor: tensor.bfloat16(), "bfloat16"),
        (lambda tensor: tensor[None].contiguous(), "expected float32"),
        (lambda tensor: tensor * float("nan"), "not finite"),
        (lambda tensor: tensor / 0, "not finite"),
    ],
)
def test_weights_that_are_not_the_networks_are_refused(folder: Path, spoil: Any, says: str) -> None:
    tensors = load_file(next(folder.glob("weights-*")))
    name = max(tensors, key=lambda name: tensors[name].numel())
    with_weights(folder, {**tensors, name: spoil(tensors[name])})
    assert says in refused(folder)
    with_weights(folder, {key: value for key, value in tensors.items() if key != name})
    assert f"missing ['{name}']" in refused(folder)
    with_weights(folder, {**tensors, "more": torch.ones(3)})
    assert "unknown ['more']" in refused(folder)
    with_weights(folder, tensors)
    load(folder, "cpu")


def test_settings_that_a_card_of_an_earlier_version_lacks_are_the_defaults(folder: Path) -> None:
    change(folder, settings={"network": "resunet", "width": 8})
    assert load(folder, "cpu").method.settings.dropout == 0.0


# --- places -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["card", "weights"])
def test_a_link_out_of_the_folder_is_refused_though_it_leads_to_the_same(folder: Path, what: str) -> None:
    path = folder / CARD if what == "card" else next(folder.glob("weights-*"))
    path.rename(folder.parent / path.name)
    path.symlink_to(folder.parent / path.name)
    assert "it is a link" in refused(folder)
    path.unlink()
    (folder.parent / path.name).rename(path)
    load(folder, "cpu")


@pytest.mark.parametrize("place", ["best", "last"])
def test_a_run_whose_checkpoint_lies_elsewhere_is_refused(folder: Path, place: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / place).symlink_to(folder)
    assert "it is a link" in refused(run)
    # The run itself may be one: its user has said so.
    (run / place).unlink()
    folder.rename(run / place)
    (tmp_path / "link").symlink_to(run)
    load(tmp_path / "link", "cpu")


def test_a_pipe_under_the_name_of_the_best_card_is_told_and_nothing_stands_in_for_it(tmp_path: Path) -> None:
    run = tmp_path / "run"
    saved(run / "last", "supervised", network="resunet")
    saved(run / "best", "supervised", network="resunet")
    (run / "best" / CARD).unlink()
    os.mkfifo(run / "best" / CARD)
    assert "no regular file" in refused(run)


def test_a_save_beside_a_card_that_cannot_be_read_keeps_what_it_may_name(folder: Path) -> None:
    before = next(folder.glob("weights-*"))
    (folder / PREVIOUS).write_text("{")
    method = make("supervised", network="resunet", teachers=False)
    card = load_card(folder)
    save(folder, method, card)
    assert before.exists() and load_card(folder) == card
    load_method(folder, load_card(folder))


def test_a_damaged_generation_never_stands_in_for_a_later_one(folder: Path) -> None:
    """Its predecessor does, until there is a whole one."""
    method = make("supervised", network="resunet", teachers=False)
    first = load_card(folder)

    def generation(step: int) -> Path:
        with torch.no_grad():
            next(iter(method.parameters())).add_(1)
        card = dataclasses.replace(first, step=step)
        save(folder, method, card)
        (weights,) = load_card(folder).files
        return folder / weights

    generation(1)
    generation(2).write_bytes(b"damaged")
    assert load_card(folder).step == 1
    generation(3).write_bytes(b"damaged")
    assert load_card(folder).step == 1
    generation(4)
    generation(5).write_bytes(b"damaged")
    assert load_card(folder).step == 4


def test_a_finished_run_has_no_other_generation_to_give(folder: Path) -> None:
    """Scores, a pack or a student would be of weights that nobody called the best."""
    first = load_card(folder)
    save(folder, make("supervised", network="resunet", teachers=False), dataclasses.replace(first, step=2))
    (weights,) = load_card(folder).files
    (folder / weights).write_bytes(b"damaged")
    assert load_card(folder) == first
    (folder.parent / DONE).touch()
    with pytest.raises(ModelError, match=weights):
        load_card(folder)


def test_errors_of_a_card_are_foreseen(folder: Path) -> None:
    for text in ("null", "[]", "5", '"x"', "{}", "[[[]]]", '{"format": 1}', "[" * 10**5, "\x00", ""):
        (folder / CARD).write_text(text)
        with pytest.raises(LimbeckError):
            load_card(folder)
