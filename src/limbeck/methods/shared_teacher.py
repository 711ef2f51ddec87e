"""A frozen teacher that several students ask the same: it answers once."""

from __future__ import annotations

import weakref
from typing import Any

from torch import Tensor, nn


class SharedTeacher(nn.Module):
    """Answers as the teacher does, and gives the same answer again for as long as the same tensor is asked about.

    The question and its answer go when nobody else holds the question any more, or with the next one.

    Attributes:
        teacher: who answers; it is frozen, so that an answer hangs on the question alone.
        passes: how often it was really asked.
    """

    def __init__(self, teacher: nn.Module) -> None:
        super().__init__()
        self.teacher = teacher
        self.passes = 0
        self._question: weakref.ref[Tensor] | None = None
        self._answer: Any = None

    def forward(self, images: Tensor) -> Any:
        """The teacher's answer to `[B,4,D,H,W]`; whoever takes it leaves it as it is."""
        # By identity: comparing voxels would cost a pass over them, and every step reads tensors of its own. One that
        # is gone leaves a reference to nothing, so no other tensor can take its place while its answer is given.
        if self._question is None or self._question() is not images:
            # First, so that two answers never lie in memory at once.
            self._question = self._answer = None
            self._answer = self.teacher(images)
            self._question = weakref.ref(images, self._forget)
            self.passes += 1
        return self._answer

    def _forget(self, question: weakref.ref[Tensor]) -> None:
        if self._question is question:
            self._question = self._answer = None
