"""The checkpoint and the weights file that the tests of this folder share."""

from ..fused_weights import checkpoint, weights_file

__all__ = ["checkpoint", "weights_file"]
