"""`--compile` changes how long a step takes, and nothing else; where it cannot, training goes on and says so."""

import logging
import shutil

import pytest
import torch
from torch import nn

from limbeck.errors import UsageError
from limbeck.experiment import digest_of
from limbeck.networks.blocks import channels_last, normalised_relu
from limbeck.networks.network import Network, Output
from limbeck.networks.vnet import VNet
from limbeck.training import compiled
from limbeck.training.compiled import compile_students, compiler_problem

CPU = torch.device("cpu")


class Small(Network):
    """The least of a network that has all that ours are made of; it counts how often Python runs its pass."""

    stride = 2
    passes = 0

    def decode(self, encoded):
        return Output(encoded[0], encoded, ())

    def _encode(self, images):
        self.passes += 1
        hidden = channels_last(self.dropout(self.convolution(images)))
        return (self.last(normalised_relu(self.norm, hidden)),)

    def __init__(self, dropout=0.0):
        super().__init__(1, 2, 8, dropout)
        self.convolution = nn.Conv3d(1, 8, 3, padding=1)
        self.norm = nn.GroupNorm(8, 8)
        self.last = nn.Conv3d(8, 2, 1)


class Taught(nn.Module):
    def __init__(self, dropout=0.0):
        super().__init__()
        torch.manual_seed(0)
        self.student = Small(dropout)


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
    return torch.cat([parameter.grad.flatten() for parameter in method.parameters()])


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler here")
def test_a_compiled_student_learns_the_same():
    """Also what dropout drops."""
    plain, built = Taught(0.5), Taught(0.5)
    compile_students(built, CPU)
    assert not compiler_problem("cpu"), "a compiler is here"
    assert list(built.state_dict()) == list(plain.state_dict()), "checkpoints keep their names"
    torch.testing.assert_close(gradient(built), gradient(plain), rtol=1e-4, atol=1e-6)


def test_where_no_compiler_is_one_line_says_so_and_the_network_is_as_before(no_compiler, caplog):
    method = Taught()
    with caplog.at_level(logging.WARNING):
        compile_students(method, CPU)
    (said,) = caplog.messages
    assert "No working C++ compiler found" in said
    assert "goes on without" in said
    assert "\n" not in said
    assert "forward" not in vars(method.student)
    assert torch.equal(gradient(method), gradient(Taught()))


def test_a_pass_that_cannot_be_compiled_is_taken_as_ever(no_compiler, caplog, monkeypatch):
    """The probe compiles and the network does not."""
    monkeypatch.setattr(compiled, "compiler_problem", lambda device: "")
    method = Taught()
    with caplog.at_level(logging.WARNING):
        compile_students(method, CPU)
        first, second = gradient(method), gradient(method)
    assert torch.equal(second, 2 * first), "gradients add up over two passes"
    (said,) = caplog.messages
    assert "Small" in said
    with pytest.raises(UsageError, match="stride 2"):
        method.student(torch.zeros(1, 1, 3, 4, 4))


def test_a_compiled_pass_that_learns_something_else_is_not_taken(caplog, monkeypatch):
    """Its logits are right and its gradients are not, as torch 2.13's were behind features that we had moved."""
    monkeypatch.setattr(compiled, "compiler_problem", lambda device: "")

    def compile(function, **options):
        def lost(*inputs):
            output = function(*inputs)
            return Output(output.logits.detach() + 0 * output.logits, output.encoded, output.decoded)

        return lost

    monkeypatch.setattr(torch, "compile", compile)
    method = Taught(0.5)
    with caplog.at_level(logging.WARNING):
        compile_students(method, CPU)
        found = gradient(method)
    (said,) = caplog.messages
    assert "gradient differs from the ordinary one by 100%" in said
    assert torch.equal(found, gradient(Taught(0.5))), "the check has drawn nothing from the dropout's numbers"


def test_running_statistics_see_each_crop_once(monkeypatch):
    """The check passes through the network twice, before the step itself."""
    monkeypatch.setattr(compiled, "compiler_problem", lambda device: "")
    monkeypatch.setattr(torch, "compile", lambda function, **options: function)
    plain, built = nn.Module(), nn.Module()
    for method in (plain, built):
        torch.manual_seed(0)
        method.student = VNet(1, 2, 8)
    compile_students(built, CPU)
    crops = torch.randn(2, 1, 16, 16, 16)
    for method in (plain, built):
        method.student(crops).logits.sum().backward()
    assert built.student.forward.checked
    for name, value in plain.state_dict().items():
        assert torch.equal(built.state_dict()[name], value), name


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


def test_the_compiler_meets_no_move_of_ours():
    """It lost gradients on the way through one; the ordinary pass has two here."""
    small, seen = Small(), []

    def backend(graph, examples):
        seen.extend(f"{node.op} {node.target}" for node in graph.graph.nodes)
        return graph.forward

    torch.compile(small.forward, backend=backend)(images())
    assert any("conv3d" in line for line in seen)
    assert not [line for line in seen if "autograd_function" in line]
