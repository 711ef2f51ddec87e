"""MTCM-KD's residual U-Net: the authors' size and cost, and its parts."""

import torch
from torch import nn
from unit.networks.cost import multiply_accumulates, parameters

from limbeck.networks.heads import DeepHeads
from limbeck.networks.resunet import GatedUpsampling, ResidualStep, ResUNet


class Student(nn.Module):
    """The network with its two deep supervision heads, on x6 and x8."""

    def __init__(self):
        super().__init__()
        self.network = ResUNet(1, 4)
        self.heads = DeepHeads(self.network.decoded_widths[:2], 4)

    def forward(self, images):
        output = self.network(images)
        return output.logits, self.heads(output.decoded[:2])


def test_size_and_cost_are_the_students_with_both_heads():
    with torch.device("meta"):
        student = Student()
    assert parameters(student) == 9_459_478
    assert parameters(student.network) == 9_458_702
    cost = multiply_accumulates(student, 1, 1, 128, 128, 128)
    assert round(cost[nn.Conv3d] / 1e9, 1) == 873.7
    assert round(cost[nn.ConvTranspose3d] / 1e9, 1) == 15.0


def test_groups_are_six_where_that_divides_and_four_elsewhere():
    groups = {
        (norm.num_channels, norm.num_groups) for norm in ResUNet(1, 4).modules() if isinstance(norm, nn.GroupNorm)
    }
    four = {(channels, 4) for channels in (32, 64, 128, 256)}
    six = {(channels, 6) for channels in (96, 192, 384)}
    assert groups == four | six


def test_step_leaves_its_input_and_its_gradient_is_right():
    torch.manual_seed(0)
    step = ResidualStep(4, 8, stride=2).double()
    features = torch.randn(1, 4, 2, 4, 2, dtype=torch.float64).requires_grad_()
    before = features.detach().clone()
    assert torch.autograd.gradcheck(step, (features,))
    assert torch.equal(features, before)


def test_gate_sees_what_came_up_and_the_skip():
    torch.manual_seed(0)
    step = GatedUpsampling(8, 4)
    gated: list[torch.Tensor] = []
    step.gate.register_forward_hook(lambda layer, inputs, output: gated.append(inputs[0]))
    features, skip = torch.randn(1, 8, 2, 2, 2), torch.randn(1, 4, 4, 4, 4)
    assert step(features, skip).shape == skip.shape
    assert torch.equal(gated[0], torch.cat((step.up(features), skip), 1))
