"""The two sides of the game between a critic and a student. The critic scores 1 for 'made by the student'."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from limbeck.losses.precision import full_precision


@full_precision
def critic_loss(teacher_logits: Tensor, student_logits: Tensor) -> Tensor:
    """The critic's side: scalar, half the binary cross-entropy of both (RIRN Eq. 8, halved as in ACN).

    Args:
        teacher_logits: `[B,*]`, the critic's verdict on the teacher's output, which the caller has detached.
        student_logits: `[B,*]`, its verdict on the student's output, detached likewise.
    """
    # -log(1 - sigmoid(x)) is softplus(x), and -log(sigmoid(x)) is softplus(-x): no logarithm can overflow.
    return (F.softplus(teacher_logits).mean() + F.softplus(-student_logits).mean()) / 2


@full_precision
def fool_loss(student_logits: Tensor, saturating: bool = False) -> Tensor:
    """The student's side: scalar, the cross-entropy of passing for the teacher (RIRN Eq. 8, non-saturating as in ACN).

    `-log(1 - D(S))`, or `log D(S)` as Eq. 8 prints it: both fall as the student passes for the teacher. The printed
    form is negative without bound, and its gradient fades while the critic sees through the student.

    Args:
        student_logits: `[B,*]`, the critic's verdict on the student's output, with the critic held fixed.
        saturating: the printed form, `log D(S)`.
    """
    if saturating:
        return F.logsigmoid(student_logits).mean()
    return F.softplus(student_logits).mean()
