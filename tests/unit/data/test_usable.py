"""Cases are sorted by what they lack, and the words for it count right."""

from __future__ import annotations

from types import SimpleNamespace

from limbeck.anatomy import Subset
from limbeck.data.usable import counts, counts_in_words, partial, usable

T1CE, BOTH, ALL = (Subset.parse(text) for text in ("t1ce", "flair+t1ce", "all"))


def case(absent: str = "", segmented: bool = True) -> SimpleNamespace:
    """A case that lacks channels by their digits."""
    return SimpleNamespace(present=tuple(str(channel) not in absent for channel in range(4)), segmented=segmented)


def test_nothing_is_said_of_cases_that_lack_nothing() -> None:
    assert str(usable([case(), case()], [ALL])) == "2 of 2 cases"


def test_what_is_not_asked_for_is_not_missed() -> None:
    found = usable([case("0"), case("3"), case("2")], [T1CE])
    assert len(found.cases) == 2
    assert str(found) == "2 of 3 cases: 1 lacks t1ce"


def test_several_sequences_are_counted_one_by_one_and_cases_once() -> None:
    found = usable([case(), case("01"), case("0"), case("3")], [ALL])
    assert str(found) == "1 of 4 cases: 3 lack flair (2), t1 (1) or t2 (1)"
    assert (found.offered, found.incomplete, found.unsegmented) == (4, 3, 0)


def test_a_case_that_has_one_of_several_subsets_is_used() -> None:
    assert len(usable([case("0"), case("2"), case("02")], [Subset.parse("flair"), T1CE]).cases) == 2


def test_a_case_without_a_segmentation_is_no_case_without_sequences() -> None:
    found = usable([case(), case("0"), case("0", segmented=False)], [BOTH])
    assert str(found) == "1 of 3 cases: 1 lacks flair, 1 without a segmentation"


def test_counts_stand_by_their_size_and_none_is_a_word() -> None:
    found = counts([case(), case("3"), case("23")], [T1CE, BOTH, ALL])
    assert list(found.values()) == [2, 2, 1]
    assert counts_in_words(found) == "2 from t1ce, flair+t1ce; 1 from flair+t1+t1ce+t2"
    assert counts_in_words(counts([case("0")], [BOTH])) == "none from flair+t1ce"


def test_one_missing_sequence_makes_a_cohort_partial() -> None:
    assert partial([case(), case("1")])
    assert not partial([case(), case(segmented=False)])
