"""Which members of a model segment a patient, by the sequences that are there: one closed rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from limbeck.anatomy import Modality, Subset
from limbeck.errors import UsageError

Kind: TypeAlias = Literal["specialist", "generalist"]


@dataclass(frozen=True)
class Choice:
    """What a model uses of what it was given.

    Attributes:
        subset: the sequences that are used.
        members: names of the members that are used, in the order in which their scores are averaged.
        kind: whether they were trained for this subset alone, or for whatever is there.
    """

    subset: Subset
    members: tuple[str, ...]
    kind: Kind

    def __str__(self) -> str:
        averaged = f" ({len(self.members)} averaged)" if len(self.members) > 1 else ""
        return f"{self.kind} for {self.subset}{averaged}" if self.kind == "specialist" else f"generalist{averaged}"


@dataclass(frozen=True)
class Service:
    """What one member of a model can do.

    Attributes:
        name: the member's.
        subsets: what it was trained for.
        generalist: whether one network takes all of them.
    """

    name: str
    subsets: tuple[Subset, ...]
    generalist: bool


def choose(given: Subset, services: Sequence[Service]) -> Choice:
    """The specialist for exactly what is given; else a generalist for it; else the specialist that uses most of it.

    Of two specialists that use as many, the one whose subset comes first in `Subset.every()` is taken. All members
    that serve what was chosen are averaged, in the order of their names.

    Raises:
        UsageError: no member can work with what is given; the message says what each needs.
    """
    exact = _members(services, given, generalist=False)
    if exact:
        return Choice(given, exact, "specialist")
    general = _members(services, given, generalist=True)
    if general:
        return Choice(given, general, "generalist")
    within = [subset for subset in served(services) if subset < given and _members(services, subset, generalist=False)]
    if not within:
        raise UsageError(_nothing_fits(given, served(services)))
    # max keeps the first of equals.
    largest = max(within, key=len)
    return Choice(largest, _members(services, largest, generalist=False), "specialist")


def served(services: Sequence[Service]) -> tuple[Subset, ...]:
    """Every subset that some member was trained for, in the order of `Subset.every()`."""
    known = {subset for service in services for subset in service.subsets}
    return tuple(subset for subset in Subset.every() if subset in known)


def _members(services: Sequence[Service], subset: Subset, *, generalist: bool) -> tuple[str, ...]:
    return tuple(
        sorted(service.name for service in services if service.generalist == generalist and subset in service.subsets)
    )


def _nothing_fits(given: Subset, subsets: Sequence[Subset]) -> str:
    needs = " or ".join(map(str, subsets))
    missing = min((subset - given for subset in subsets), key=len)
    remedy = "+".join(modality.role for modality in sorted(missing, key=Modality))
    return (
        f"this model needs {needs} but was given {given}: {remedy} is missing; the weights in the box serve any subset"
    )
