"""What is compared: each study is a list of variants of one recipe, and the pairs of variants it asks about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rep3d.errors import BadInput

#: Appendix D: learning rates of a single branch, and of the small branch beside a large one at MAIN_RATE.
SINGLE_RATES = (6e-4, 5e-4, 4e-4, 3e-4, 2e-4, 1e-4)
SMALL_RATES = (6e-4, 5e-4, 4e-4, 3e-4, 1e-4)
MAIN_RATE = 2e-4
OPTIMIZERS = ("adamw", "sgd")


@dataclass(frozen=True)
class Variant:
    """One arm of a study.

    ``arguments`` of the network and ``settings`` (fields of TrainConfig) replace those of the recipe; ``family``
    replaces the network's family and keeps its size ("uxnet" turns rep3d-xs into uxnet-xs). ``paper``: the mean Dice
    that the paper reports for it (AMOS CT), for the table.
    """

    key: str
    title: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    family: str = ""
    paper: float | None = None


@dataclass(frozen=True)
class Study:
    """Variants with the question they answer; ``contrasts`` are pairs (variant, reference) of variants' keys."""

    name: str
    title: str
    question: str
    source: str
    variants: tuple[Variant, ...]
    contrasts: tuple[tuple[str, str], ...]

    def variant(self, key: str) -> Variant:
        """The variant of that key. Raises BadInput."""
        for variant in self.variants:
            if variant.key == key:
                return variant
        raise BadInput(f"{self.name} has no variant {key!r}", f"It has {', '.join(v.key for v in self.variants)}.")


def studies(rate_scale: Mapping[str, float]) -> dict[str, Study]:
    """Every study by name. ``rate_scale``, by optimiser, multiplies the rates of appendix D (1 is the paper's grid)."""
    made = (kernel_size(), lrbm_depth(), lrbm_kernel(), backbone_lrbm(), branch_lr(rate_scale))
    return {study.name: study for study in made}


def kernel_size() -> Study:
    """Do large kernels help, and do the masks help them?"""

    def arm(k: int, reparam: str, title: str, paper: float | None = None) -> Variant:
        return Variant(f"k{k}-{reparam}", title, {"kernel_size": k, "reparam": reparam}, paper=paper)

    variants = (
        arm(1, "plain", "1x1x1"),
        arm(7, "plain", "7x7x7"),
        arm(21, "plain", "21x21x21"),
        arm(7, "lrbm", "7x7x7, LRBM"),
        arm(21, "fixed", "21x21x21, fixed prior", 0.902),
        arm(21, "lrbm", "21x21x21, LRBM", 0.910),
    )
    contrasts = (
        ("k7-plain", "k1-plain"),
        ("k21-plain", "k1-plain"),
        ("k21-plain", "k7-plain"),
        ("k7-lrbm", "k7-plain"),
        ("k21-fixed", "k21-plain"),
        ("k21-lrbm", "k21-plain"),
        ("k21-lrbm", "k21-fixed"),
        ("k21-lrbm", "k7-lrbm"),
    )
    return Study(
        "kernel-size",
        "Kernel size and modulation",
        "Does k = 21 help over k = 7 and k = 1, and does LRBM help?",
        "table 1 (fixed prior, LRBM); the plain kernels are not in the paper",
        variants,
        contrasts,
    )


def lrbm_depth() -> Study:
    """Appendix E."""
    paper = {1: 0.904, 2: 0.910, 3: 0.899}
    variants = tuple(
        Variant(f"depth{n}", f"{n} convolution{'s' if n > 1 else ''}", _lrbm(depth=n), paper=paper[n])
        for n in (1, 2, 3)
    )
    return Study(
        "lrbm-depth",
        "Depth of the mask generator",
        "How many convolutions should the generator have?",
        "appendix E",
        variants,
        (("depth1", "depth2"), ("depth3", "depth2")),
    )


def lrbm_kernel() -> Study:
    """Section 5.3, table 4. The sizes were lost in the text of the table; its rows are in this order."""
    paper = {3: 0.905, 5: 0.906, 7: 0.910, 9: None}
    variants = tuple(Variant(f"generator{k}", f"{k}x{k}x{k}", _lrbm(kernel=k), paper=paper[k]) for k in (3, 5, 7, 9))
    return Study(
        "lrbm-kernel",
        "Kernel of the mask generator",
        "How large should the generator's kernels be?",
        "section 5.3, table 4",
        variants,
        tuple((f"generator{k}", "generator7") for k in (3, 5, 9)),
    )


def backbone_lrbm() -> Study:
    """LRBM around another network's kernels (tables 2 and 4)."""
    paper = {(7, "plain"): 0.890, (7, "lrbm"): 0.897, (21, "plain"): 0.891, (21, "lrbm"): None}
    variants = tuple(
        Variant(
            f"uxnet{k}-{reparam}",
            f"3D UX-Net, k = {k}" + (", LRBM" if reparam == "lrbm" else ""),
            {"kernel_size": k, "reparam": reparam},
            family="uxnet",
            paper=paper[k, reparam],
        )
        for k in (7, 21)
        for reparam in ("plain", "lrbm")
    )
    return Study(
        "backbone-lrbm",
        "LRBM in 3D UX-Net",
        "Does LRBM help another large-kernel network?",
        "tables 2 and 4",
        variants,
        (("uxnet7-lrbm", "uxnet7-plain"), ("uxnet21-lrbm", "uxnet21-plain"), ("uxnet21-plain", "uxnet7-plain")),
    )


def branch_lr(rate_scale: Mapping[str, float]) -> Study:
    """Appendix D: one branch at six rates; two branches, the large one at 2e-4 and the small one at five rates."""
    best = {("adamw", 3e-4): 0.889, ("sgd", 6e-4): 0.872}
    variants, contrasts = [], []
    for optimizer in OPTIMIZERS:
        scale = rate_scale.get(optimizer, 1.0)
        name = {"adamw": "AdamW", "sgd": "SGD"}[optimizer]
        reference = f"{optimizer}-single-2e-4"
        for rate in SINGLE_RATES:
            variants.append(
                Variant(
                    f"{optimizer}-single-{_short(rate)}",
                    f"{name}, one branch, {_short(rate * scale)}",
                    {"reparam": "plain"},
                    {"optimizer": optimizer, "lr": rate * scale},
                )
            )
        for rate in SMALL_RATES:
            key = f"{optimizer}-two-2e-4+{_short(rate)}"
            variants.append(
                Variant(
                    key,
                    f"{name}, two branches, {_short(MAIN_RATE * scale)} + {_short(rate * scale)}",
                    {"reparam": "csla"},
                    {"optimizer": optimizer, "lr": MAIN_RATE * scale, "lr_small": rate * scale},
                    paper=best.get((optimizer, rate)),
                )
            )
            contrasts.append((key, reference))
    return Study(
        "branch-lr",
        "Learning rates of the branches",
        "Does a small branch with a rate of its own help a large kernel?",
        "appendix D; of the single branches it reports the best, 0.862 (AdamW) and 0.859 (SGD)",
        tuple(variants),
        tuple(contrasts),
    )


def _lrbm(**values: Any) -> dict[str, Any]:
    """Arguments of a network whose generator differs from the default; the default itself is written as none.

    So the arm that is the default is the same run in every study, and is trained once.
    """
    defaults = {"depth": 2, "kernel": 7}
    changed = {name: value for name, value in values.items() if value != defaults[name]}
    return {"kernel_size": 21, "reparam": "lrbm", **({"lrbm": changed} if changed else {})}


def _short(rate: float) -> str:
    """6e-4 for 0.0006, 1.5e-3 for 0.0015."""
    mantissa, exponent = f"{rate:.4e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"
