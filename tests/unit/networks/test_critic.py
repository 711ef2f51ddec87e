"""RIRN's critic: a logit for each four voxels a side, each of which sees ten."""

import torch

from limbeck.networks.critic import Critic


def test_map_is_a_quarter_of_the_crop():
    with torch.device("meta"):
        assert Critic(3)(torch.empty(1, 3, 160, 192, 128)).shape == (1, 1, 40, 48, 32)


def test_a_logit_sees_ten_voxels_a_side():
    torch.manual_seed(0)
    probabilities = torch.rand(1, 3, 24, 24, 24, requires_grad=True)
    Critic(3, width=8)(probabilities)[0, 0, 3, 3, 3].backward()
    seen = probabilities.grad[0].any(0).nonzero()
    assert (seen.amax(0) - seen.amin(0) + 1).tolist() == [10, 10, 10]


def test_sure_probabilities_differ_under_autocast():
    torch.manual_seed(0)
    critic = Critic(3, width=8)
    sure = torch.full((1, 3, 8, 8, 8), 0.9985)
    with torch.autocast("cpu", torch.bfloat16):
        logits, surest = critic(sure), critic(torch.ones_like(sure))
    assert logits.dtype == torch.float32
    assert torch.equal(logits, critic(sure)) and not torch.equal(logits, surest)


def test_logits_are_not_activated():
    torch.manual_seed(0)
    logits = Critic(3, width=8)(100 * torch.randn(1, 3, 16, 16, 16))
    assert logits.min() < 0 < 1 < logits.max()
