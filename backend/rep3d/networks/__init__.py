"""Networks by name: ``create_network("rep3d-xs", in_channels=1, out_channels=3)``."""

from rep3d.networks import baselines, rep3d, uxnet
from rep3d.networks.registry import accepted_arguments, create_network, list_networks, register_network

__all__ = ["accepted_arguments", "baselines", "create_network", "list_networks", "register_network", "rep3d", "uxnet"]
