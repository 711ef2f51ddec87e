"""The closed list of networks: the published backbones, which any method may be given."""

from limbeck.networks.network import Network
from limbeck.networks.nnunet import NnUNet
from limbeck.networks.resunet import ResUNet
from limbeck.networks.unet import UNet
from limbeck.networks.vnet import VNet

NETWORKS: dict[str, type[Network]] = {"unet": UNet, "vnet": VNet, "resunet": ResUNet, "nnunet": NnUNet}
