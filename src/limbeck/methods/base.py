"""What every method is: settings, parts, a training step that yields objectives, and a prediction.

A method never steps an optimiser, never logs, never moves data and never sees a path.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import ClassVar, Generic, Literal, Self, TypeAlias, TypeVar

from torch import Tensor, nn

from limbeck.anatomy import Subset
from limbeck.batch import Batch, View
from limbeck.errors import require
from limbeck.networks import NETWORKS
from limbeck.networks.network import Network
from limbeck.normalisation import Normalisation
from limbeck.target import Target

# Four times what any of the papers has; MTCM-KD's networks then take 10 GB.
_WIDEST = 128
# Group of parameters -> term -> weighted scalar. Groups that are yielded together descend together.
Objectives = dict[str, dict[str, Tensor]]


@dataclass(frozen=True)
class Progress:
    """How far training has come.

    Attributes:
        step: steps taken before this one.
        steps: steps in all.
        epoch: epochs finished before this one.
        epochs: epochs in all.
    """

    step: int
    steps: int
    epoch: int
    epochs: int


# A term of an objective: its weight, and how it is computed.
Term: TypeAlias = tuple[float, Callable[[], Tensor]]


def weighted(**terms: Term) -> dict[str, Tensor]:
    """The weighted terms of a group by name; one whose weight is 0 is neither computed nor there."""
    return {name: weight * compute() for name, (weight, compute) in terms.items() if weight}


@dataclass(frozen=True)
class Descent:
    """How a group of parameters goes down where it differs from the others.

    Attributes:
        rate: factor on the learning rate.
        betas: decay of Adam's two moments.
    """

    rate: float = 1.0
    betas: tuple[float, float] = (0.9, 0.999)


@dataclass(frozen=True)
class NetworkSettings:
    """The network that every method builds; the same for student and teachers.

    Attributes:
        network: unet is ACN's (GKD, RIRN), vnet PKDR's, resunet MTCM-KD's, nnunet CHOI's.
        width: channels of the finest level, a multiple of 8; coarser ones have more (unet, vnet: 16; others: 32).
        dropout: share of channels dropped after the first convolutions (Myronenko, RIRN: 0.2; the others state none).
    """

    # Weights that give the student no term of its own.
    auxiliary: ClassVar[tuple[str, ...]] = ()

    network: Literal["unet", "vnet", "resunet", "nnunet"] = "unet"
    width: int = 16
    dropout: float = 0.0

    def __post_init__(self) -> None:
        """Refuse networks that cannot be built, weights that unlearn, and objectives without a term.

        Raises:
            UsageError: a value is out of its range.
        """
        right = f"a multiple of 8, for example 16, and at most {_WIDEST}"
        require(8 <= self.width <= _WIDEST and self.width % 8 == 0, "width", self.width, right)
        require(0 <= self.dropout < 1, "dropout", self.dropout, "at least 0 and below 1")
        weights = {item.name: getattr(self, item.name) for item in fields(self) if item.name.endswith("_weight")}
        for name, weight in weights.items():
            require(0 <= weight < float("inf"), name, weight, "0 or a number above it")
        terms = [name for name in weights if name not in self.auxiliary]
        require(not terms or any(weights[name] for name in terms), " and ".join(terms), 0, "at least one above 0")

    @property
    def stride(self) -> int:
        """Sides of a crop are multiples of this."""
        return NETWORKS[self.network].stride

    @property
    def normalisation(self) -> Normalisation:
        """What the images have to be brought to."""
        return Normalisation.Z_SCORE

    def make(self, sequences: int, channels: int) -> Network:
        """A fresh network from so many sequences to so many channels of logits."""
        return NETWORKS[self.network](sequences, channels, self.width, self.dropout)


@dataclass(frozen=True)
class Context:
    """What a method is built for.

    Attributes:
        subsets: one for a specialist, several for a generalist.
        teachers: trained methods by role, or what answers for them; empty when the method is built to predict.
    """

    subsets: tuple[Subset, ...]
    teachers: Mapping[str, nn.Module] = field(default_factory=dict)

    @property
    def subset(self) -> Subset:
        """A specialist's only subset."""
        (subset,) = self.subsets
        return subset


SettingsT_co = TypeVar("SettingsT_co", bound=NetworkSettings, covariant=True)


class Method(nn.Module, ABC, Generic[SettingsT_co]):
    """A way to train a network for a subset of the sequences.

    Attributes:
        Settings: the frozen dataclass that configures the method.
        needs: role of a frozen teacher -> name of the method whose run provides it.
        generalist: whether one network serves all 15 subsets.
        privileged: whether training looks at sequences outside the subset (`Batch.complete`).
        target: what the output channels mean.
        frozen: the teachers by role: in eval mode, without gradients, moved along by `.to()`, and never registered,
            so they are neither counted nor saved.
    """

    Settings: ClassVar[type[NetworkSettings]]
    needs: ClassVar[Mapping[str, str]] = {}
    generalist: ClassVar[bool] = False
    privileged: ClassVar[bool] = False
    target: ClassVar[Target] = Target.SOFTMAX_LABELS

    settings: SettingsT_co
    context: Context
    frozen: dict[str, nn.Module]

    def __init__(self, settings: SettingsT_co, context: Context) -> None:
        super().__init__()
        self.settings = settings
        self.context = context
        self.frozen = {role: teacher.eval().requires_grad_(False) for role, teacher in context.teachers.items()}

    @classmethod
    def check(cls, subset: Subset) -> None:
        """Refuse a subset that the method cannot serve; by default it serves all 15.

        Raises:
            UsageError: it cannot.
        """
        del subset

    @classmethod
    def misfits(cls, settings: NetworkSettings, teacher: NetworkSettings) -> list[str]:
        """Why a student of these settings cannot learn from a teacher of those, each reason in a reader's words."""
        ours, theirs = (f"{side.network} of width {side.width}" for side in (settings, teacher))
        return [f"network {theirs}, the student has {ours}"] if ours != theirs else []

    @abstractmethod
    def training_step(self, batch: Batch, progress: Progress) -> Iterator[Objectives]:
        """Yield objectives; each yield is one descent of the groups it names."""

    @abstractmethod
    def predict(self, view: View) -> Tensor:
        """Scores `[B,C,D,H,W]` in [0, 1], blind to absent channels and to all other samples of the batch."""

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """The parameters that each group of objectives may move; together all that can learn."""
        return {"main": list(self.parameters())}

    def descents(self) -> dict[str, Descent]:
        """Groups that do not descend as the settings of the optimiser say."""
        return {}

    def after_epoch(self, progress: Progress) -> None:
        """Update state that lives over epochs; it has to be kept in buffers so that checkpoints hold it."""
        del progress

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        for teacher in self.frozen.values():
            teacher._apply(fn, recurse)  # type: ignore[no-untyped-call]
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self
