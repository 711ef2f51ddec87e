"""Protocols: each is named, versioned, and says in words what it does and what it leaves out."""

from __future__ import annotations

import pytest

from limbeck.errors import UsageError
from limbeck.evaluation import table
from limbeck.evaluation.metrics import METRICS, STANDARD
from limbeck.evaluation.protocol import PROTOCOLS, STRICT, check_metrics, find
from limbeck.methods import METHODS


def test_rows_are_strict_unless_they_say_otherwise() -> None:
    assert STRICT.id == table.STRICT
    assert STRICT.metrics == STANDARD and STRICT.extent is None and STRICT.checkpoint == "best"


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=lambda protocol: protocol.name)
def test_a_protocol_is_found_by_name_and_by_what_rows_carry_and_says_what_it_is(protocol) -> None:
    assert find(protocol.name) is find(protocol.id) is protocol
    assert protocol.statement.startswith(f"Protocol {protocol.id}")
    assert set(protocol.metrics) <= set(METRICS)
    published = protocol.name.removesuffix("-as-published")
    assert (published in METHODS) == ("Not reproduced" in protocol.statement)


def test_every_published_system_has_one_but_the_one_whose_protocol_nobody_knows() -> None:
    assert {name.removesuffix("-as-published") for name in PROTOCOLS} == {"strict", "gkd", "pkdr", "rirn", "mtcmkd"}
    with pytest.raises(UsageError, match="CHOI's split, crop and metric are not known"):
        find("choi-as-published")


def test_papers_with_a_crop_are_cropped_and_the_slice_metric_stays_with_its_paper() -> None:
    assert {name for name, protocol in PROTOCOLS.items() if protocol.extent == (160, 192, 128)} == {
        "gkd-as-published",
        "rirn-as-published",
    }
    assert [name for name, protocol in PROTOCOLS.items() if "legacy_slice_mean" in protocol.metrics] == [
        "mtcmkd-as-published"
    ]


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'gkd-as-published'"):
        find("gdk-as-published")
    with pytest.raises(UsageError, match=r"'dise'.*did you mean 'dice'"):
        check_metrics(["hd95_mm", "dise"])
    with pytest.raises(UsageError, match="dice is given twice"):
        check_metrics(["dice", "dice"])
    with pytest.raises(UsageError, match="no metrics"):
        check_metrics([])
