"""Small forms of every baseline: arguments and a size that they take. As ``..tiny_baselines`` in the tests."""

from __future__ import annotations

#: name -> (arguments, voxels of an input)
TINY: dict[str, tuple[dict, tuple[int, int, int]]] = {
    "unet3d": ({"base_filters": 4}, (32, 16, 16)),
    "segresnet": ({"init_filters": 8}, (16, 16, 16)),
    "dynunet": ({"base_filters": 4, "deep_supervision": 2}, (32, 16, 16)),
    "nnunet": ({"base_filters": 2, "deep_supervision": 4}, (64, 32, 32)),
    "unetr": (
        {"patch": [32, 16, 16], "feature_size": 4, "hidden_size": 24, "mlp_dim": 32, "heads": 2},
        (32, 16, 16),
    ),
    "swinunetr": ({"feature_size": 12, "depths": [1, 1, 1, 1], "heads": [1, 1, 2, 2]}, (64, 32, 32)),
    "nnformer": (
        {"channels": 8, "heads": [1, 2, 2, 4], "windows": [3, 4, 8, 4], "deep_supervision": 2},
        (64, 32, 32),
    ),
    "transbts": (
        {"patch": [32, 16, 24], "channels": 8, "hidden_size": 16, "heads": 2, "mlp_dim": 32},
        (32, 16, 24),
    ),
    "unest-b": (
        {"patch": [64, 32, 32], "channels": [8, 16, 16], "heads": [1, 2, 2], "depths": [1, 1, 1]},
        (64, 32, 32),
    ),
    "rapnet": ({"width": 2, "deep_supervision": 1}, (32, 16, 16)),
}
