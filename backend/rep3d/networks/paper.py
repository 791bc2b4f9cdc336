"""The paper's figures of each network, beside what is counted here, and why they differ where they do.

Table 3 (KiTS, MSD) gives parameters and "FLOPs" of a forward at 96^3; these are multiply-adds in the convention of
``Complexity.multiply_adds_paper``.
"""

from __future__ import annotations

from dataclasses import dataclass

#: One forward is counted at these sizes; AMOS has 15 structures.
PATCH = (96, 96, 96)
CLASSES = 16
#: Relative differences up to this need no explanation.
CLOSE = 0.02


@dataclass(frozen=True)
class PaperRow:
    """A row of the paper's tables.

    Attributes:
        title: the network's name there. source: who published it, where and when.
        parameters: as printed, None where the row has none. multiply_adds: likewise.
        note: why what is counted here is more than CLOSE away; "" where it is not.
    """

    title: str
    source: str
    parameters: float | None = None
    multiply_adds: float | None = None
    note: str = ""

    def to_dict(self) -> dict[str, object]:
        """JSON-able form."""
        return dict(self.__dict__)


#: By the name of the network here.
ROWS: dict[str, PaperRow] = {
    "unet3d": PaperRow(
        "3D U-Net",
        "Cicek et al., MICCAI 2016",
        4.81e6,
        135.9e9,
        "MONAI's U-Net of 16 to 256 filters has these parameters (4.81 M with 5 to 8 classes, 4.82 M with 16). At 96^3 "
        "it takes 28.2 G; as many as printed would need an input of about 162^3.",
    ),
    "segresnet-paper": PaperRow("SegResNet", "Myronenko, BrainLes 2018", 1.18e6, 15.6e9),
    "rapnet": PaperRow(
        "RAP-Net",
        "Lee et al., ISBI 2021",
        38.2e6,
        101.2e9,
        "Two 3D U-Nets as published have these parameters. The coarse one takes 125 G at 48^3; evaluation runs the "
        "fine one once for each of 15 organs, 1002 G each. What the printed 101.2 G count is not said.",
    ),
    "nnunet": PaperRow(
        "nn-UNet",
        "Isensee et al., Nature Methods 2021",
        31.2e6,
        743.3e9,
        "nnU-Net's plan of six levels has these parameters. At 96^3 it takes 225.1 G; the printed number fits a larger "
        "input: at 128 x 160 x 160 it takes 747.1 G (transposed convolutions counted once).",
    ),
    "transbts": PaperRow("TransBTS", "Wang et al., MICCAI 2021", 31.6e6, 110.3e9),
    "unetr": PaperRow("UNETR", "Hatamizadeh et al., WACV 2022", 92.8e6, 82.5e9),
    "nnformer": PaperRow(
        "nnFormer",
        "Zhou et al., IEEE Transactions on Image Processing 2023",
        149.3e6,
        213.0e9,
        "174 G of the 286 are the last transposed convolution (kernel and stride 4), counted with 64 taps where a "
        "voxel meets one. Counted once, all takes 104.4 G with attention. Neither is 213.0; which input and how many "
        "classes that is for is not said.",
    ),
    "swinunetr": PaperRow("SwinUNETR", "Hatamizadeh et al., BrainLes 2021", 62.2e6, 328.1e9),
    "uxnet": PaperRow("3D UX-Net (k=7)", "Lee et al., ICLR 2023", 53.0e6, 639.4e9),
    "uxnet-k21": PaperRow("3D UX-Net (k=21)", "Lee et al., ICLR 2023"),
    "unest-b": PaperRow("UNesT-B", "Yu et al., Medical Image Analysis 2023", 87.2e6, 258.4e9),
    "rep3d-csla": PaperRow("CSLA block (RepLKNet)", "Ding et al., CVPR 2022"),
    "rep3d-repopt": PaperRow("RepOptimizer", "Ding et al., ICLR 2023"),
    "rep3d-fixed": PaperRow("Rep3D (Fixed Prior)", "the paper", 65.8e6, 757.4e9),
    "rep3d": PaperRow("Rep3D (LRBM)", "the paper", 66.0e6, 757.6e9),
}


def difference(here: float, paper: float | None) -> float | None:
    """``here / paper - 1``; None where the paper has no number."""
    return None if paper is None else here / paper - 1
