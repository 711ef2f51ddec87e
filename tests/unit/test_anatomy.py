"""Names and codes: what is read, what goes out, and what each data set's numbers mean."""

from __future__ import annotations

import pickle

import pytest

from limbeck.anatomy import CANONICAL_SCHEME, LABEL_SCHEMES, MODALITY_ALIASES, Label, Modality, Region, Subset
from limbeck.errors import UsageError

ALIASES = {
    Modality.FLAIR: ["flair", "FLAIR", "Flair", "fl", "t2f", "T2-FLAIR", "t2_flair"],
    Modality.T1: ["t1", "T1", "t1n", "T1w", " t1 "],
    Modality.T1CE: ["t1ce", "t1c", "T1Gd", "t1gd", "T1CE", "ce-T1w", "t1-ce"],
    Modality.T2: ["t2", "t2w", "T2W"],
}

# product.md: which label each source's code 1, 2, 3 and 4 stands for; None where the code is not used.
NECROTIC, OEDEMA, ENHANCING, CAVITY = Label.NECROTIC_CORE, Label.OEDEMA, Label.ENHANCING, Label.RESECTION_CAVITY
CODES = {
    "brats2018": (NECROTIC, OEDEMA, None, ENHANCING),
    "brats2023": (NECROTIC, OEDEMA, ENHANCING, None),
    "brats2024": (NECROTIC, OEDEMA, ENHANCING, CAVITY),
    "msd": (OEDEMA, NECROTIC, ENHANCING, None),
}

FIFTEEN = [
    *("flair", "t1", "t1ce", "t2"),
    *("flair+t1", "flair+t1ce", "flair+t2", "t1+t1ce", "t1+t2", "t1ce+t2"),
    *("flair+t1+t1ce", "flair+t1+t2", "flair+t1ce+t2", "t1+t1ce+t2"),
    "flair+t1+t1ce+t2",
]


@pytest.mark.parametrize(("modality", "text"), [(m, text) for m, texts in ALIASES.items() for text in texts])
def test_aliases_are_read(modality: Modality, text: str) -> None:
    assert Modality.parse(text) is modality


def test_every_alias_can_be_typed() -> None:
    assert {alias: Modality.parse(alias) for alias in MODALITY_ALIASES} == dict(MODALITY_ALIASES)


def test_one_spelling_goes_out_in_the_order_of_the_channels() -> None:
    assert [(modality.role, int(modality)) for modality in Modality] == [
        ("flair", 0),
        ("t1", 1),
        ("t1ce", 2),
        ("t2", 3),
    ]


def test_what_people_read() -> None:
    assert [modality.title for modality in Modality] == ["FLAIR", "T1", "T1ce", "T2"]
    assert [label.title for label in Label][1:] == ["necrotic core", "oedema", "enhancing", "resection cavity"]


def test_in_the_canonical_scheme_every_label_is_its_own_code() -> None:
    assert LABEL_SCHEMES[CANONICAL_SCHEME] == {int(label): label for label in Label}


@pytest.mark.parametrize(("text", "near"), [("flare", "flair"), ("t1cee", "t1ce"), ("t2x", "t2"), ("xt1n", "t1")])
def test_an_unknown_sequence_names_the_nearest(text: str, near: str) -> None:
    with pytest.raises(UsageError, match=f"{text}.*did you mean '{near}'"):
        Modality.parse(text)


@pytest.mark.parametrize("text", ["", "dwi", "0", "seg"])
def test_an_unknown_sequence_lists_the_known(text: str) -> None:
    with pytest.raises(UsageError, match=f"unknown sequence '{text}': expected flair, t1, t1ce or t2"):
        Modality.parse(text)


def test_there_are_fifteen_subsets_each_with_one_spelling() -> None:
    assert [str(subset) for subset in Subset.every()] == FIFTEEN
    assert [Subset.parse(text) for text in FIFTEEN] == list(Subset.every())


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("t1c+t2f", "flair+t1ce"),
        ("T2w + T1n", "t1+t2"),
        ("all", "flair+t1+t1ce+t2"),
        (" ALL ", "flair+t1+t1ce+t2"),
        ("t2+t1ce+t1+flair", "flair+t1+t1ce+t2"),
    ],
)
def test_subsets_are_read_in_any_order(text: str, canonical: str) -> None:
    assert str(Subset.parse(text)) == canonical


@pytest.mark.parametrize("text", ["t1+t1n", "flair+flair", "", "+", "t1+", "all+t1", "t1,t2"])
def test_what_is_no_subset_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Subset.parse(text)


def test_a_subset_has_a_member() -> None:
    with pytest.raises(UsageError, match="at least one"):
        Subset([])


@pytest.mark.parametrize("subset", Subset.every(), ids=str)
def test_mask_and_channels_say_the_same(subset: Subset) -> None:
    assert tuple(channel for channel, member in enumerate(subset.mask()) if member) == subset.channels
    assert {Modality(channel) for channel in subset.channels} == subset
    assert list(subset.channels) == sorted(subset.channels)


def test_a_subset_travels_between_processes() -> None:
    subset = Subset.parse("flair+t1ce")
    copy = pickle.loads(pickle.dumps(subset))
    assert copy == subset
    assert isinstance(copy, Subset)
    assert {subset: "found"}[copy] == "found"


@pytest.mark.parametrize("scheme", CODES)
def test_label_codes_mean_what_their_source_says(scheme: str) -> None:
    expected = {code: label for code, label in enumerate(CODES[scheme], start=1) if label is not None}
    assert dict(LABEL_SCHEMES[scheme]) == {0: Label.BACKGROUND, **expected}


def test_every_scheme_is_in_the_table() -> None:
    assert set(LABEL_SCHEMES) == set(CODES)


def test_regions_are_nested_and_leave_the_cavity_out() -> None:
    assert Region.WT.labels == {NECROTIC, OEDEMA, ENHANCING}
    assert Region.TC.labels == {NECROTIC, ENHANCING}
    assert Region.ET.labels == {ENHANCING}
    assert [(region.name, int(region), region.title) for region in Region] == [
        ("WT", 0, "whole tumour"),
        ("TC", 1, "tumour core"),
        ("ET", 2, "enhancing tumour"),
    ]


def test_a_comma_between_sequences_is_answered_by_how_a_subset_is_written() -> None:
    with pytest.raises(UsageError, match=r"'flair,t1ce'.*with \+, as in flair\+t1ce"):
        Subset.parse("flair,t1ce")
