"""Our sliding window against MONAI's, on the same grid with the same weights."""

import pytest
import torch
from torch import nn

from limbeck.inference.sliding import sliding_window

inferers = pytest.importorskip("monai.inferers")


@pytest.mark.parametrize("shape", [(20, 17, 23), (6, 19, 12), (12, 10, 8), (5, 4, 7), (25, 10, 9)])
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.7])
def test_equal_to_monai(shape, overlap):
    torch.set_num_threads(1)
    torch.manual_seed(1)
    network = nn.Sequential(nn.Conv3d(4, 5, 3, padding=1), nn.Tanh(), nn.Conv3d(5, 3, 3, padding=1)).eval()
    images = torch.randn(4, *shape)
    patch = (12, 10, 8)
    with torch.no_grad():
        ours = sliding_window(
            lambda view: network(view.images), images, torch.ones(4, dtype=torch.bool), patch, overlap, batch=3
        )
        theirs = inferers.sliding_window_inference(images[None], patch, 3, network, overlap=overlap, mode="gaussian")
    torch.testing.assert_close(ours, theirs[0], rtol=1e-5, atol=2e-6)
