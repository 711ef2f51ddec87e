"""Every recipe builds, says where each value comes from, and has the values that its paper states."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from documents import ROOT, problem

from limbeck.benchmark.cells import plan as plan_matrix
from limbeck.benchmark.matrix import read as read_matrix
from limbeck.commands.benchmark import _parse
from limbeck.commands.settings import Settings
from limbeck.errors import UsageError
from limbeck.experiment import plan
from limbeck.methods import METHODS, find
from limbeck.methods.base import NetworkSettings

CONFIGS = [ROOT / "configs" / "common.yaml", *sorted((ROOT / "configs" / "methods").glob("*.yaml"))]
# What a recipe leaves to the command: which part of the experiment, and where and beside what it runs.
FREE = {"fold", "seed", "device", "compile", "precision", "workers"}


def methods_of(config: Path) -> list[str]:
    return list(METHODS) if config.name == "common.yaml" else [config.stem]


def own(method: str) -> set[str]:
    """Settings that are the method's alone."""
    return {item.name for item in fields(find(method).Settings)} - {item.name for item in fields(NetworkSettings)}


def recipe_of(method: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / f"configs/methods/{method}.yaml").read_text())
    return content


@pytest.mark.parametrize(
    ("config", "method"),
    [(config, method) for config in CONFIGS for method in methods_of(config)],
    ids=lambda value: value if isinstance(value, str) else value.stem,
)
def test_every_recipe_builds_and_leaves_nothing_to_defaults(config: Path, method: str) -> None:
    settings = Settings(method)
    _, parts = settings.parse(["--config", str(config)])
    kind = find(method)
    # A single sequence is what every specialist serves.
    experiment = plan(method, None if kind.generalist else "t1ce", Path("teacher") if kind.needs else None, parts)
    written = yaml.safe_load(config.read_text())
    described = experiment.to_json()
    assert {name: described[name] for name in written} == written
    expected = set(settings.types) - FREE
    if config.name == "common.yaml":
        expected -= own(method)
    assert set(written) == expected


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_every_value_of_a_recipe_has_its_source(config: Path) -> None:
    for line in config.read_text().splitlines():
        if re.match(r"\w+:", line) and not line.startswith(("save_every", "log_every")):
            assert re.search(r"#\s+\w+", line), line


def test_every_method_has_its_recipe_and_every_recipe_its_method() -> None:
    assert {path.stem for path in (ROOT / "configs" / "methods").iterdir()} == set(METHODS)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_every_command_in_a_recipe_runs_and_names_it(config: Path) -> None:
    lines = re.findall(r"^# +(limbeck .*)$", config.read_text(), re.MULTILINE)
    assert lines
    assert not {line: what for line in lines if (what := problem(line))}
    named = {match for line in lines for match in re.findall(r"--config (\S+)", line)}
    assert str(config.relative_to(ROOT)) in named


def test_a_reconstruction_says_so_first() -> None:
    marked = {name for name, entry in METHODS.items() if "RECONSTRUCTION" in entry.status}
    first = {name: (ROOT / f"configs/methods/{name}.yaml").read_text().splitlines()[0] for name in METHODS}
    assert {name for name, line in first.items() if "RECONSTRUCTION" in line} == marked == {"choi"}


# --- papers.md, section by section ------------------------------------------------------------------------------------

GKD = {
    # 1.3 and 1.4: stated, then ACN's.
    **{"optimiser": "adam", "learning_rate": 1e-4, "schedule": "poly", "folds": 3, "patch": [128, 192, 160]},
    **{"soft_label_weight": 0.75, "region_attention_weight": 0.9, "segmentation_weight": 1.0, "mask_order": "wt-tc-et"},
    **{"network": "unet", "width": 16, "batch": 1, "weight_decay": 1e-5, "augment": False, "foreground": 0.0},
}
PKDR = {
    # 2.2 to 2.4: stated, then ProtoKD's.
    **{"optimiser": "adam", "learning_rate": 1e-3, "weight_decay": 1e-5, "schedule": "poly", "batch": 4},
    **{"patch": [96, 128, 128], "network": "vnet", "segmentation_weight": 1.0, "patch_selection_weight": 0.7},
    **{"soft_region_weight": 0.5, "soft_patch_weight": 0.5, "patch_contrast_weight": 0.5},
    **{"voxel_temperature": 10.0, "patch_temperature": 5.0, "t2_scale": False},
    **{"width": 16, "dropout": 0.0, "dice_denominator": "squared", "contrast_temperature": 0.1},
}
RIRN = {
    # 3.2 to 3.4: stated, then ACN's and the specification's.
    **{"optimiser": "adam", "learning_rate": 1e-4, "schedule": "poly", "batch": 1, "patch": [128, 192, 160]},
    **{"network": "unet", "width": 16, "dropout": 0.2, "folds": 3, "augment": False, "foreground": 0.0},
    **{"segmentation_weight": 1.0, "class_relation_weight": 1.0, "position_relation_weight": 1.0},
    **{"adversarial_weight": 1.0, "manual_filter": True, "crr_aggregation": "mean", "car_norm": "paper"},
    **{"weight_decay": 1e-5, "car_in_forward": True, "adv_form": "non-saturating"},
}
MTCMKD = {
    # 4.2 to 4.4, from the authors' code; the rate as it was meant.
    **{"network": "resunet", "width": 32, "folds": 5, "batch": 1, "patch": [128, 128, 128], "augment": False},
    **{"optimiser": "adam", "learning_rate": 1e-4, "schedule": "poly", "temperature": 20.0},
    **{"segmentation_weight": 0.75, "soft_label_weight": 0.15, "fusion_weight": 0.08, "as_published": False},
    **{"deep_weight": 0.07, "soft_fusion_weight": 0.03, "t2_scale": True},
}
CHOI = {
    # 5.2: a reconstruction on nnU-Net.
    **{"network": "nnunet", "width": 32, "folds": 5, "batch": 2, "patch": [128, 128, 128], "foreground": 0.33},
    **{"optimiser": "sgd", "learning_rate": 0.01, "momentum": 0.99, "weight_decay": 3e-5, "schedule": "poly"},
    **{"augment": True, "redundancy": 0.0051, "bt_samples": "positions", "projector": False},
    **{"barlow_twins_weight": 1.0, "soft_label_weight": 0.0, "dice_weight": 1.0},
}


@pytest.mark.parametrize(
    ("method", "values", "epochs", "epoch_steps"),
    [
        ("gkd", GKD, 200, 285 * 2 // 3),
        ("pkdr", PKDR, 1000, 200 // 4),
        ("rirn", RIRN, 300, 285 * 2 // 3),
        ("mtcmkd", MTCMKD, 25, 1000),
        ("choi", CHOI, 1000, 250),
    ],
)
def test_the_recipe_is_the_paper_s(method: str, values: dict[str, Any], epochs: int, epoch_steps: int) -> None:
    recipe = recipe_of(method)
    assert {name: recipe[name] for name in values} == values
    assert recipe["epoch_steps"] == epoch_steps
    assert recipe["steps"] == epochs * epoch_steps
    # No paper states a warm-up; nnU-Net alone clips.
    assert recipe["warmup"] == 0 and recipe["clip"] == (12.0 if method == "choi" else 0.0)


def test_the_deep_part_of_mtcmkd_is_a_tenth_in_seven_to_three() -> None:
    recipe = recipe_of("mtcmkd")
    deep, fused = recipe["deep_weight"], recipe["soft_fusion_weight"]
    assert deep + fused == pytest.approx(0.10) and deep / fused == pytest.approx(7 / 3)
    assert recipe["segmentation_weight"] + recipe["soft_label_weight"] + deep + fused == pytest.approx(1.0)


def test_a_fifth_of_brats_2018_is_pkdr_s_test_part_and_an_eighth_of_the_rest_its_validation() -> None:
    cases, folds = 285, recipe_of("pkdr")["folds"]
    test = len(range(0, cases, folds))
    validation = round((cases - test) / 8)
    assert (cases - test - validation, validation, test) == (200, 28, 57)


@pytest.mark.parametrize(
    ("yardstick", "measured"), [("supervised", "gkd"), ("dropout", "gkd"), ("pkdr_teacher", "pkdr")]
)
def test_yardsticks_and_teachers_have_the_budget_of_what_they_measure_or_teach(yardstick: str, measured: str) -> None:
    without = own(measured) - own(yardstick)
    assert {name: value for name, value in recipe_of(measured).items() if name not in without} == recipe_of(yardstick)


def test_the_benchmark_of_the_readme_can_be_planned() -> None:
    for path in (ROOT / "configs" / f"{name}.yaml" for name in ("benchmark", "distillation", "longer")):
        planned = plan_matrix(read_matrix(path), _parse)
        assert planned.cells, path


def test_recipes_go_by_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, path in (
        ("common", ROOT / "configs" / "common.yaml"),
        ("gkd", ROOT / "configs" / "methods" / "gkd.yaml"),
    ):
        assert Settings("gkd").parse(["--config", name]) == Settings("gkd").parse(["--config", str(path)])
    with pytest.raises(UsageError, match="expected a YAML file, or common, choi, dropout, gkd"):
        Settings("gkd").parse(["--config", "kgd"])
    # A file of that name goes first.
    Path("common").write_text("steps: 7\n")
    assert Settings("gkd").parse(["--config", "common"])[1]["training"].steps == 7
