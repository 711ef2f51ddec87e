"""`--compile` changes how long a step takes, and nothing else; where it cannot, training goes on and says so."""

import logging
import shutil

import pytest
import torch
from torch import nn

from limbeck.errors import UsageError
from limbeck.experiment import digest_of
from limbeck.networks.network import Network, Output
from limbeck.training import compiled
from limbeck.training.compiled import compile_students, compiler_problem

CPU = torch.device("cpu")


class OneConvolution(Network):
    """The smallest network; it counts how often Python runs its pass."""

    stride = 2
    passes = 0

    def decode(self, encoded):
        return Output(encoded[0], encoded, ())

    def _encode(self, images):
        self.passes += 1
        return (self.dropout(self.convolution(images)),)

    def __init__(self, dropout=0.0):
        super().__init__(1, 2, 8, dropout)
        self.convolution = nn.Conv3d(1, 2, 3, padding=1)


class Taught(nn.Module):
    def __init__(self, dropout=0.0):
        super().__init__()
        torch.manual_seed(0)
        self.student = OneConvolution(dropout)


@pytest.fixture(autouse=True)
def nothing_known():
    """What a test found out of the compiler is not for the next."""
    compiler_problem.cache_clear()
    yield
    compiler_problem.cache_clear()


@pytest.fixture
def no_compiler(monkeypatch):
    """torch.compile hands out a pass that fails when it is first taken, as with no C++ compiler in the path."""

    def compile(function, **options):
        def fail(*inputs):
            raise RuntimeError("No working C++ compiler found\nin a hundred lines")

        return fail

    monkeypatch.setattr(torch, "compile", compile)


def images():
    return torch.randn(1, 1, 8, 8, 8, generator=torch.Generator().manual_seed(1))


def gradient(method):
    torch.manual_seed(2)
    method.student(images()).logits.square().mean().backward()
    return method.student.convolution.weight.grad


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler here")
def test_a_compiled_student_learns_the_same():
    """Also what dropout drops."""
    plain, built = Taught(0.5), Taught(0.5)
    assert compile_students(built, CPU), "a compiler is here"
    assert list(built.state_dict()) == list(plain.state_dict()), "checkpoints keep their names"
    torch.testing.assert_close(gradient(built), gradient(plain), rtol=1e-4, atol=1e-6)


def test_where_no_compiler_is_one_line_says_so_and_the_network_is_as_before(no_compiler, caplog):
    method = Taught()
    with caplog.at_level(logging.WARNING):
        assert not compile_students(method, CPU)
    (said,) = caplog.messages
    assert "No working C++ compiler found" in said
    assert "goes on without" in said
    assert "\n" not in said
    assert torch.equal(gradient(method), gradient(Taught()))


def test_a_pass_that_cannot_be_compiled_is_taken_as_ever(no_compiler, caplog, monkeypatch):
    """The probe compiles and the network does not."""
    monkeypatch.setattr(compiled, "compiler_problem", lambda device: "")
    method = Taught()
    with caplog.at_level(logging.WARNING):
        assert compile_students(method, CPU)
        first, second = gradient(method).clone(), gradient(method)
    assert torch.equal(second, 2 * first), "gradients add up over two passes"
    (said,) = caplog.messages
    assert "OneConvolution" in said
    with pytest.raises(UsageError, match="stride 2"):
        method.student(torch.zeros(1, 1, 3, 4, 4))


def test_validation_takes_the_ordinary_pass(no_compiler, monkeypatch):
    """A prediction must not depend on how its network was trained."""
    monkeypatch.setattr(compiled, "compiler_problem", lambda device: "")
    method = Taught()
    compile_students(method, CPU)
    with torch.no_grad():
        method.student(images())
    assert method.student.passes == 1
    assert method.student.forward.works, "the pass that fails was not tried"


def test_a_compiled_run_is_the_same_run():
    """Like the device, it rounds otherwise and is told on --resume; the run keeps its name."""
    assert digest_of({"steps": 3, "compile": True}) == digest_of({"steps": 3})
