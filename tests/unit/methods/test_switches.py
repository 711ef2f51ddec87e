"""Every setting of every method does what it says, and nothing else."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
import torch
from toy import PROGRESS, batch, make
from unit.methods.yielded import terms, values

from limbeck.errors import UsageError
from limbeck.methods import METHODS, find
from limbeck.methods.base import NetworkSettings

# What is promised here holds at any depth.
pytestmark = pytest.mark.usefixtures("shallow_unet")

# Method -> weight -> the terms that it governs, and no others.
GOVERNED: dict[str, dict[str, set[str]]] = {
    "gkd": {
        "segmentation_weight": {"segmentation"},
        "soft_label_weight": {"soft_labels"},
        "region_attention_weight": {"region_attention"},
    },
    "pkdr_teacher": {"segmentation_weight": {"segmentation"}, "patch_selection_weight": {"patch_selection"}},
    "pkdr": {
        "segmentation_weight": {"segmentation"},
        "patch_selection_weight": {"patch_selection"},
        "soft_region_weight": {"soft_regions"},
        "soft_patch_weight": {"soft_patches"},
        "patch_contrast_weight": {"patch_contrast"},
    },
    "rirn": {
        "segmentation_weight": {"segmentation"},
        "class_relation_weight": {"class_relation"},
        "position_relation_weight": {"position_relation"},
        "adversarial_weight": {"fool", "tell_apart"},
    },
    "mtcmkd": {
        "segmentation_weight": {"segmentation"},
        "soft_label_weight": {"soft_t1", "soft_t1ce", "soft_t2"},
        "deep_weight": {"deep"},
        "soft_fusion_weight": {"soft_fusion"},
        "fusion_weight": {"fusion"},
    },
    "choi": {
        "segmentation_weight": {"segmentation"},
        "barlow_twins_weight": {"barlow_twins"},
        "soft_label_weight": {"soft_labels"},
    },
    "limbeck": {"segmentation_weight": {"segmentation"}, "soft_label_weight": {"soft_labels"}},
}
# A critic without a weight of its own: it plays at full strength or not at all.
UNWEIGHTED = {"tell_apart"}
# A weight within a term, which has a test of its own below.
WITHIN = {("choi", "dice_weight")}

WEIGHTS = [(method, weight) for method, governed in GOVERNED.items() for weight in governed]


def weight_names(name: str) -> list[str]:
    return [item.name for item in dataclasses.fields(find(name).Settings) if item.name.endswith("_weight")]


def all_on(name: str) -> dict[str, float]:
    """Every weight as published, those that are off at 1."""
    kind = find(name).Settings()
    return {weight: getattr(kind, weight) or 1.0 for weight in weight_names(name)}


def own_settings(name: str) -> list[str]:
    """Names of what the method adds to a network's settings, without weights."""
    inherited = {item.name for item in dataclasses.fields(NetworkSettings)}
    own = [item.name for item in dataclasses.fields(find(name).Settings) if item.name not in inherited]
    return [item for item in own if not item.endswith("_weight")]


def other_values(name: str, setting: str) -> list[Any]:
    """Legal values of a setting beside its default."""
    kind = find(name).Settings
    default = getattr(kind(), setting)
    if get_origin(annotation := get_type_hints(kind)[setting]) is Literal:
        return [value for value in get_args(annotation) if value != default]
    return [not default] if isinstance(default, bool) else [2 * default]


@functools.cache
def values_at(name: str, **changed: float) -> dict[str, float]:
    """Each term's value with every weight on, but for what is changed."""
    method = make(name, **{**all_on(name), **changed})
    return values(method, batch(method.context.subsets))


SWITCHES = [
    (name, item, value) for name in METHODS for item in own_settings(name) for value in other_values(name, item)
]


@pytest.mark.parametrize("name", METHODS)
def test_every_weight_is_known_to_these_tests(name: str) -> None:
    within = {weight for method, weight in WITHIN if method == name}
    assert set(weight_names(name)) == GOVERNED.get(name, {}).keys() | within


@pytest.mark.parametrize(("name", "weight"), WEIGHTS)
def test_a_weight_of_zero_removes_exactly_its_terms(name: str, weight: str) -> None:
    whole = values_at(name)
    without = values_at(name, **{weight: 0.0})
    assert GOVERNED[name][weight] <= whole.keys()
    assert without == {term: value for term, value in whole.items() if term not in GOVERNED[name][weight]}


@pytest.mark.parametrize(("name", "weight"), WEIGHTS)
def test_twice_a_weight_is_exactly_twice_its_terms(name: str, weight: str) -> None:
    once = values_at(name)
    twice = values_at(name, **{weight: 2 * all_on(name)[weight]})
    doubled = GOVERNED[name][weight] - UNWEIGHTED
    assert twice == {term: value * (2 if term in doubled else 1) for term, value in once.items()}


def test_chois_dice_weighs_in_both_sides_segmentation_alone() -> None:
    data = batch(make("choi").context.subsets)
    without, once, twice = (values(make("choi", dice_weight=weight), data) for weight in (0.0, 1.0, 2.0))
    for term in ("segmentation", "teacher_segmentation"):
        assert 0 < once[term] - without[term] < 1
        assert twice[term] - once[term] == pytest.approx(once[term] - without[term], rel=1e-5)
    assert without["barlow_twins"] == once["barlow_twins"] == twice["barlow_twins"]


@pytest.mark.parametrize(("name", "setting", "value"), SWITCHES)
def test_every_other_setting_changes_what_is_learnt(name: str, setting: str, value: Any) -> None:
    assert learnt(name) != learnt(name, **{setting: value})


@pytest.mark.parametrize("name", sorted({name for name, _, _ in SWITCHES}))
def test_what_is_learnt_is_reproducible_so_that_it_can_be_compared(name: str) -> None:
    assert learnt(name) == learnt.__wrapped__(name)


@functools.cache
def learnt(name: str, **changed: Any) -> dict[str, tuple[float, float]]:
    """Each term's value, and the sum of its gradient's magnitudes over all parameters."""
    method = make(name, **{**all_on(name), **changed})
    parameters = list(method.parameters())
    found = {}
    for term, value in terms(method, batch(method.context.subsets)).items():
        gradients = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)
        found[term] = (float(value.detach()), sum(float(g.abs().sum()) for g in gradients if g is not None))
    return found


@pytest.mark.parametrize("name", METHODS)
def test_weights_that_unlearn_are_refused_by_name(name: str) -> None:
    for weight in weight_names(name):
        for wrong in (-0.1, float("nan"), float("inf")):
            with pytest.raises(UsageError, match=f"setting {weight} is"):
                find(name).Settings(**{weight: wrong})


@pytest.mark.parametrize("name", METHODS)
def test_an_objective_without_a_term_is_refused_by_name(name: str) -> None:
    students = [weight for weight in GOVERNED.get(name, {}) if GOVERNED[name][weight] & student_terms(name)]
    for off in (students, weight_names(name)) if students else ():
        with pytest.raises(UsageError, match="at least one above 0") as refused:
            find(name).Settings(**dict.fromkeys(off, 0.0))
        assert all(weight in str(refused.value) for weight in students)


def student_terms(name: str) -> set[str]:
    """The terms that the student itself descends on."""
    method = make(name, **all_on(name)).train()
    yielded = method.training_step(batch(method.context.subsets), PROGRESS)
    return {term for groups in yielded for term in groups.get("main", {})}


@pytest.mark.parametrize(
    ("name", "setting"),
    [(name, item) for name in METHODS for item in own_settings(name) if item.endswith("temperature")],
)
def test_temperatures_that_divide_by_nothing_are_refused_by_name(name: str, setting: str) -> None:
    for wrong in (0.0, -1.0):
        with pytest.raises(UsageError, match=f"setting {setting} is"):
            find(name).Settings(**{setting: wrong})


def test_a_redundancy_that_rewards_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="setting redundancy is"):
        find("choi").Settings(redundancy=-0.1)
