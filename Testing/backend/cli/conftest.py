"""The checkpoint and the weights file of a small network."""

from ..fused_weights import checkpoint, weights_file

__all__ = ["checkpoint", "weights_file"]
