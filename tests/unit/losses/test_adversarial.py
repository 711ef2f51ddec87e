"""The two sides of the adversarial game: which way each pulls, and that each moves alone."""

import math

import pytest
import torch

from limbeck import losses


def test_the_adversarial_pair_by_hand():
    undecided = torch.zeros(2, 1, 2, 2, 2)
    assert losses.critic_loss(undecided, undecided).item() == pytest.approx(math.log(2))
    assert losses.fool_loss(undecided).item() == pytest.approx(math.log(2))
    sure = torch.full_like(undecided, 200.0)
    assert losses.critic_loss(-sure, sure).item() == 0
    assert losses.fool_loss(sure).item() == 200
    assert losses.fool_loss(-sure).item() == 0


def test_the_two_sides_pull_apart():
    verdict = torch.zeros(1, requires_grad=True)
    (critic,) = torch.autograd.grad(losses.critic_loss(torch.zeros(1), verdict), verdict)
    (student,) = torch.autograd.grad(losses.fool_loss(verdict), verdict)
    assert critic < 0 < student


def test_the_printed_form_by_hand():
    """`log D(S)`: the negative of what a critic's own logarithm would cost."""
    undecided = torch.zeros(2, 1, 2, 2, 2)
    assert losses.fool_loss(undecided, saturating=True).item() == pytest.approx(-math.log(2))
    assert losses.fool_loss(undecided - 200, saturating=True).item() == pytest.approx(-200)
    assert losses.fool_loss(undecided + 200, saturating=True).item() == 0


def test_both_forms_pull_the_same_way_and_the_printed_one_fades():
    """A critic that sees through the student: nearly no gradient as printed, nearly 1 otherwise."""
    found_out = torch.full((1,), 8.0, requires_grad=True)
    (usual,) = torch.autograd.grad(losses.fool_loss(found_out), found_out)
    (printed,) = torch.autograd.grad(losses.fool_loss(found_out, saturating=True), found_out)
    assert usual.item() == pytest.approx(1 / (1 + math.exp(-8)))
    assert printed.item() == pytest.approx(1 / (1 + math.exp(8)), rel=1e-4)


@pytest.mark.parametrize("saturating", [False, True])
@pytest.mark.parametrize("side", ["student", "critic"])
def test_a_step_of_one_side_leaves_the_other_as_it_was(side, saturating):
    """As the loop descends: gradients for one group alone, from outputs that the critic gets detached."""
    torch.manual_seed(0)
    nets = {"student": torch.nn.Conv3d(1, 3, 1), "critic": torch.nn.Conv3d(3, 1, 1)}
    image, teacher = torch.randn(2, 1, 4, 4, 4), torch.rand(2, 3, 4, 4, 4)
    output = nets["student"](image).sigmoid()
    terms = {
        "student": losses.fool_loss(nets["critic"](output), saturating),
        "critic": losses.critic_loss(nets["critic"](teacher), nets["critic"](output.detach())),
    }
    before = {name: net.weight.detach().clone() for name, net in nets.items()}
    terms[side].backward(inputs=list(nets[side].parameters()))
    for net in nets.values():
        torch.optim.SGD(net.parameters(), 0.1).step()
    for name, net in nets.items():
        assert torch.equal(net.weight, before[name]) == (name != side)
