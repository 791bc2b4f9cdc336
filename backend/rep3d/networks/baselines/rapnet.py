"""RAP-Net (Lee et al., ISBI 2021): a coarse network's probability of one organ guides a fine one, the same for all.

In the paper a 3D U-Net sees the whole scan at low resolution; then a second one, of two input channels, refines patches
of the full-resolution image beside the coarse mask of one organ, drawn at random, and segments that organ: one model in
place of one a organ. Here both are branches of one network that is trained at once, so that the loop, the windows and
the files are those of every other network; what differs is said in docs/baselines.md: the coarse branch sees the window
at half resolution, not the whole scan, and hands on probabilities rather than a mask.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from rep3d.networks.baselines.wrapper import Baseline
from rep3d.networks.registry import register_network

COARSE = 2
STRIDE = 16
LEVELS = 4
#: Keeps logarithms of probabilities finite in float32.
TINY = 1e-6


def _two_convs(before: int, between: int, after: int) -> nn.Sequential:
    modules: list[nn.Module] = []
    for a, b in ((before, between), (between, after)):
        modules += [nn.Conv3d(a, b, 3, padding=1), nn.BatchNorm3d(b), nn.ReLU()]
    return nn.Sequential(*modules)


class PlainUNet(nn.Module):
    """3D U-Net as published (Cicek et al., MICCAI 2016), with padding: [B, in, D, H, W] to [B, out, D, H, W].

    Four levels of 2w, 4w, 8w and 16w channels; channels double before each pooling. D, H, W: multiples of 8.
    """

    def __init__(self, in_channels: int, out_channels: int, width: int = 32):
        super().__init__()
        widths = [2 * width * 2**i for i in range(LEVELS)]
        inputs = [in_channels, *widths[:-1]]
        self.encoder = nn.ModuleList(_two_convs(a, b // 2, b) for a, b in zip(inputs, widths))
        self.up = nn.ModuleList(nn.ConvTranspose3d(b, b, 2, stride=2) for b in widths[1:])
        self.decoder = nn.ModuleList(_two_convs(a + b, a, a) for a, b in pairwise(widths))
        self.out = nn.Conv3d(widths[0], out_channels, 1)

    def forward(self, x_BCDHW: torch.Tensor) -> torch.Tensor:
        skips = []
        x = x_BCDHW
        for i, level in enumerate(self.encoder):
            x = level(x if i == 0 else F.max_pool3d(x, 2))
            skips.append(x)
        x = skips.pop()
        for i in reversed(range(LEVELS - 1)):
            x = self.decoder[i](torch.cat([skips[i], self.up[i](x)], dim=1))
        return self.out(x)


class RAPNet(nn.Module):
    """Logits [B, K, D, H, W] of [B, in_channels, D, H, W]; D, H, W multiples of 16.

    Training: for each crop one foreground class c is drawn from torch's generator; the fine branch gives its
    probability q from the image and the coarse probability of c. The logits are logarithms of a distribution: q for c,
    and (1 - q) times the coarse branch's distribution over the other classes. With ``deep_supervision`` 1 a list: those
    and the coarse branch's own logits at 1/2, the paper's first stage.
    Evaluation: the fine branch runs once for every foreground class; the logits are its log-odds, 0 for background.

    Args:
        width: of both U-Nets (32 as published).
    """

    def __init__(self, in_channels: int, out_channels: int, width: int = 32, deep_supervision: int = 0):
        super().__init__()
        if deep_supervision not in (0, 1):
            raise ValueError(f"deep_supervision must be 0 or 1 (the coarse branch), not {deep_supervision!r}")
        if out_channels < 2:
            raise ValueError("RAP-Net needs the background and at least one more class")
        self.classes = out_channels
        self.deep_supervision = deep_supervision
        self.coarse = PlainUNet(in_channels, out_channels, width)
        self.fine = PlainUNet(in_channels + 1, 1, width)

    def forward(self, x_BCDHW: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        low = self.coarse(F.avg_pool3d(x_BCDHW, COARSE))
        up = F.interpolate(low.float(), scale_factor=COARSE, mode="trilinear", align_corners=False)
        prior_BKDHW = up.softmax(1)
        if not self.training:
            odds = [self._refine(x_BCDHW, prior_BKDHW[:, c : c + 1]) for c in range(1, self.classes)]
            return torch.cat([torch.zeros_like(odds[0]), *odds], dim=1)
        drawn = torch.randint(1, self.classes, (len(x_BCDHW),)).tolist()  # on the CPU: its state is in checkpoints
        chosen = torch.stack([prior_BKDHW[i, c : c + 1] for i, c in enumerate(drawn)])
        logits = one_against_rest(self._refine(x_BCDHW, chosen), prior_BKDHW, drawn)
        return [logits, low] if self.deep_supervision else logits

    def _refine(self, x_BCDHW: torch.Tensor, prior_B1DHW: torch.Tensor) -> torch.Tensor:
        """Log-odds [B, 1, D, H, W], float32, of the organ whose coarse probability is given."""
        return self.fine(torch.cat([x_BCDHW, prior_B1DHW.to(x_BCDHW.dtype)], dim=1)).float()


def one_against_rest(odds_B1DHW: torch.Tensor, coarse_BKDHW: torch.Tensor, chosen: list[int]) -> torch.Tensor:
    """Log-probabilities [B, K, D, H, W]: of one class an image by its log-odds, of all others in coarse proportion.

    Args:
        odds_B1DHW: log(q / (1 - q)) of the chosen class.
        coarse_BKDHW: probabilities p of all classes. chosen: class number for each image.

    log q for the chosen class c and log(1 - q) + log p_k - log(1 - p_c) for another class k.
    """
    out = []
    for odds_1DHW, coarse_KDHW, c in zip(odds_B1DHW, coarse_BKDHW, chosen):
        others = torch.cat([coarse_KDHW[:c], coarse_KDHW[c + 1 :]]).clamp_min(TINY)
        others = others.log() - others.sum(0, keepdim=True).log() + F.logsigmoid(-odds_1DHW)
        out.append(torch.cat([others[:c], F.logsigmoid(odds_1DHW), others[c:]]))
    return torch.stack(out)


@register_network("rapnet")
def rapnet(in_channels: int = 1, out_channels: int = 2, width: int = 32, deep_supervision: int = 0) -> Baseline:
    """Two U-Nets of ``width``, coarse to fine; train with ``deep_supervision`` 1; see RAPNet."""
    return Baseline(RAPNet(in_channels, out_channels, width, deep_supervision), in_channels, STRIDE)
