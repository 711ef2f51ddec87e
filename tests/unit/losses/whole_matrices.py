"""RIRN's relation between positions as Eq. 6 and 7 print it, from whole matrices: what blocks of rows must equal."""

from __future__ import annotations

from torch import Tensor

from limbeck.losses import relation_matrix


def plain_distance(
    student_queries: Tensor,
    student_keys: Tensor,
    teacher_queries: Tensor,
    teacher_keys: Tensor,
    channels: int,
    normaliser: str = "paper",
) -> Tensor:
    """As `attention_distance`, holding both matrices."""
    student = relation_matrix(student_queries, student_keys)
    teacher = relation_matrix(teacher_queries, teacher_keys).detach()
    positions = student.shape[1]
    divisor = {"paper": channels * positions, "entries": positions**2, "rows": positions}[normaliser]
    return (student - teacher).square().sum((1, 2)).mean() / divisor
