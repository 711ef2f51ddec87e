"""A teacher that several students share answers a question once, and keeps neither longer than it is asked."""

from __future__ import annotations

import weakref

import torch
from torch import nn

from limbeck.methods.shared_teacher import SharedTeacher


class Doubling(nn.Module):
    def forward(self, images):
        return images * 2


def test_the_same_tensor_is_answered_once_and_an_equal_one_anew():
    teacher, question = SharedTeacher(Doubling()), torch.ones(1, 4, 2, 2, 2)
    first = teacher(question)
    assert teacher(question) is first and teacher.passes == 1
    teacher(question.clone())
    assert teacher.passes == 2
    assert torch.equal(teacher(question * 3), question * 6)


def test_once_nobody_holds_the_question_its_answer_goes_too():
    teacher, question = SharedTeacher(Doubling()), torch.ones(1, 4, 2, 2, 2)
    answer, asked = weakref.ref(teacher(question)), weakref.ref(question)
    assert answer() is not None, "it is given again"
    del question
    assert asked() is None and answer() is None


def test_an_answer_outlives_the_question_before_it():
    """The first question goes after the second was asked."""
    teacher, one, other = SharedTeacher(Doubling()), torch.ones(1, 4, 2, 2, 2), torch.zeros(1, 4, 2, 2, 2)
    teacher(one)
    answer = teacher(other)
    del one
    assert teacher(other) is answer
