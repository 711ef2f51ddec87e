"""RIRN's non-local block: the published size and cost, the attention's values, gradient, precision and memory."""

import pytest
import torch
from torch import nn
from unit.networks.cost import multiply_accumulates, parameters

from limbeck.networks.relation import NonLocal, Relation, attention
from limbeck.networks.unet import UNet


class Student(nn.Module):
    """RIRN's student: the U-Net with a block on its coarsest level."""

    def __init__(self, block):
        super().__init__()
        self.network = UNet(1, 3, 16)
        self.relation = block(128)

    def forward(self, images):
        *finer, coarsest = self.network.encode(images)
        features, _, _ = self.relation(coarsest)
        return self.network.decode((*finer, features))


@pytest.mark.parametrize(("block", "millions"), [(NonLocal, 4.7327), (Relation, 4.7326)])
def test_size_and_cost_are_rirns(block, millions):
    """As thop counts: group normalisation has no parameters, and each upsampled element costs one operation."""
    with torch.device("meta"):
        student = Student(block)
    norms = [layer for layer in student.modules() if isinstance(layer, nn.GroupNorm)]
    assert round((parameters(student) - parameters(*norms)) / 1e6, 4) == millions
    size = (1, 1, 160, 192, 128)
    upsampled = sum(level.numel() for level in student(torch.empty(size, device="meta")).decoded)
    assert round((multiply_accumulates(student, *size).total() + upsampled) / 1e9, 4) == 272.7543


def plain(queries, keys, values):
    """Attention with the whole matrix of weights."""
    weights = torch.softmax(torch.einsum("bcn,bcm->bnm", queries.flatten(2), keys.flatten(2)), 2)
    return torch.einsum("bnm,bcm->bcn", weights, values.flatten(2)).reshape(values.shape)


def parts(*shape, dtype=torch.float32):
    torch.manual_seed(0)
    return [torch.randn(shape, dtype=dtype, requires_grad=True) for _ in range(3)]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_attention_and_its_gradient_are_the_plain_ones(dtype, tolerance):
    given = parts(2, 16, 4, 3, 5, dtype=dtype)
    pull = torch.randn(2, 16, 4, 3, 5, dtype=dtype)
    expected, found = plain(*given), attention(*given)
    assert torch.allclose(found, expected, atol=tolerance)
    pairs = zip(torch.autograd.grad(expected, given, pull), torch.autograd.grad(found, given, pull), strict=True)
    assert all(torch.allclose(right, left, atol=50 * tolerance) for left, right in pairs)


def test_attention_is_full_precision_under_autocast():
    given = parts(2, 16, 4, 3, 5)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(attention(*given), attention(*given).float())
        inside = attention(*given)
    assert torch.equal(inside, attention(*given))
    halved = [part.bfloat16() for part in given]
    assert torch.equal(attention(*halved), attention(*(part.float() for part in halved)))


def test_attention_never_keeps_a_weight_for_each_pair():
    positions = 8**3
    kept: list[int] = []

    def keep(tensor):
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        attention(*parts(1, 16, 8, 8, 8)).sum().backward()
    assert 0 < max(kept) < positions**2 / 8


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_block_starts_as_the_identity_in_the_features_layout(layout):
    features = torch.randn(2, 16, 2, 3, 4).contiguous(memory_format=layout)
    passed, queries, keys = NonLocal(16)(features)
    assert torch.equal(passed, features)
    assert passed.stride() == features.stride()
    assert queries.shape == keys.shape == (2, 8, 2, 3, 4)
    assert not torch.equal(queries, keys)


def test_block_is_its_formula_and_leaves_its_input():
    torch.manual_seed(0)
    block = NonLocal(16)
    nn.init.normal_(block.project.weight)
    nn.init.normal_(block.project.bias)
    features = torch.randn(2, 16, 2, 3, 4)
    before = features.clone()
    passed, queries, keys = block(features)
    expected = features + block.project(plain(queries, keys, block.value(features)))
    assert torch.allclose(passed, expected, atol=1e-5)
    assert torch.equal(features, before)


def test_every_parameter_takes_part_once_the_output_has_left_zero():
    """Queries, keys and values learn nothing from the block's output in the very first step, by design."""
    torch.manual_seed(0)
    block = NonLocal(16)
    features = torch.randn(2, 16, 2, 3, 4)
    block(features)[0].square().sum().backward()
    assert {name for name, parameter in block.named_parameters() if parameter.grad.any()} == {
        "project.weight",
        "project.bias",
    }
    nn.init.normal_(block.project.weight)
    block(features)[0].square().sum().backward()
    assert all(parameter.grad.any() for name, parameter in block.named_parameters() if name != "key.bias")


def test_block_keeps_the_dtype_that_it_was_given():
    features = torch.randn(1, 16, 2, 2, 2, dtype=torch.bfloat16)
    assert NonLocal(16).bfloat16()(features)[0].dtype == torch.bfloat16
