"""Losses between a student's and a teacher's outputs. The teacher is a constant: no gradient reaches it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from limbeck.losses.precision import full_precision


@full_precision
def soft_label_divergence(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """The Kullback-Leibler divergence of the student from the teacher, voxel by voxel: `[B,*]`.

    `sum_c p_t (log p_t - log p_s)` with `p = softmax(x / T)` over the channels (GKD Eq. 1-2; MTCM-KD's response
    distillation). The literature disagrees on the reduction and on the factor `1`, `T` or `T^2`, so both are the
    caller's.

    Args:
        student_logits: `[B,C,*]`.
        teacher_logits: `[B,C,*]`, taken as constant.
        temperature: `T`, above 0.
    """
    log_student = F.log_softmax(student_logits / temperature, dim=1)
    log_teacher = F.log_softmax(teacher_logits.detach() / temperature, dim=1)
    return F.kl_div(log_student, log_teacher, reduction="none", log_target=True).sum(1)


@full_precision
def soft_region_entropy(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """Binary cross-entropy of the student with the teacher as soft target, channel by channel: `[B,C,*]`.

    `-(q_t log q_s + (1 - q_t) log(1 - q_s))` with `q = sigmoid(x / T)` (PKDR Eq. 5-6). It is no divergence: where
    both agree it is the teacher's entropy, not 0.

    Args:
        student_logits: `[B,C,*]`.
        teacher_logits: `[B,C,*]`, taken as constant.
        temperature: `T`, above 0.
    """
    softened = torch.sigmoid(teacher_logits.detach() / temperature)
    return F.binary_cross_entropy_with_logits(student_logits / temperature, softened, reduction="none")


@full_precision
def batch_sum(divergence: Tensor) -> Tensor:
    """A map summed over all its voxels and divided by the batch alone: scalar (MTCM-KD's code, 4.3 of the papers).

    MTCM-KD's published reduction, which is what torch's `batchmean` does to a volume. It is larger than the mean by
    the number of voxels, 2.1 million at 128^3, and drowns every supervised term: for the as-published mode only.

    Args:
        divergence: `[B,*]`, one value a voxel, as `soft_label_divergence` gives it.
    """
    return divergence.sum() / divergence.shape[0]


@full_precision
def performance_weights(scores: Tensor, total: float) -> Tensor:
    """Weights of several teachers in proportion to their scores: `[K]`, with sum `total` (MTCM-KD Eq. 1).

    Teachers that all score 0 share alike.

    Args:
        scores: `[K]`, at least 0, taken as constant; MTCM-KD's are Dice scores of the whole tumour.
        total: what the weights sum to.
    """
    scores = scores.detach()
    overall = scores.sum()
    shares = torch.where(overall > 0, scores / overall.clamp(min=torch.finfo(scores.dtype).tiny), 1 / len(scores))
    return total * shares
