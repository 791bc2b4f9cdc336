"""Everything that decides what a training run computes, in one frozen record that goes into every checkpoint.

Who reads what: `batches`, `sampling` and `data.augment` read ``augment``, ``sampling`` and ``foreground``; `optimizer`,
`rates` and `fields` read ``optimizer``, ``lr*``, ``weight_decay``, ``betas``, ``eps``, ``momentum`` and ``freeze``;
`finetune` reads ``init_labels``; `deep_supervision` its own name; `loop`, `run`, `optim` and the rest of this package
all others.
"""

from __future__ import annotations

from dataclasses import MISSING, asdict, dataclass, field, fields

from rep3d.data.augment import AugmentConfig
from rep3d.errors import BadInput

# What may differ between a run and its continuation: these change when or where things happen, not what is computed.
# ``devices`` and ``nodes`` are among them because a step's crops are the same however many processes share them.
FREE_ON_RESUME = frozenset(
    {"threads", "workers", "save_every", "keep_every", "log_every", "device", "devices", "nodes", "early_stop"}
)

CHOICES = {
    "optimizer": ("adamw", "sgd"),
    "schedule": ("plateau", "cosine", "poly", "constant"),
    "precision": ("32", "bf16"),
    "loss": ("dice-ce", "batch-dice-ce"),
    "sampling": ("present", "balanced", "uniform"),
    "lr_field": ("none", "prior", "csla"),
    "init_labels": ("strict", "match", "new-head"),
}

#: Schedules whose rate at a step depends on how many steps there are in all.
BOUND_TO_STEPS = frozenset({"cosine", "poly"})


@dataclass(frozen=True)
class TrainConfig:
    """A training run. Defaults are the paper's recipe (PAPER section 5); ``patch`` in voxels of the network grid."""

    task: str
    network: str
    patch: tuple[int, int, int]
    network_args: dict = field(default_factory=dict)
    steps: int = 60_000
    batch_size: int = 2  # volumes a step, over all devices and all parts of the step
    crops_per_volume: int = 2
    accumulate: int = 1  # parts that a step's crops go through the network in: the memory of one, the step of all
    foreground: float = 0.9  # share of crops centred on a random class that is present
    sampling: str = "present"  # that class: any present one alike, or rare ones of the cohort more often
    optimizer: str = "adamw"
    lr: float = 1e-4
    weight_decay: float = 0.08
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    momentum: float = 0.9
    schedule: str = "plateau"
    warmup: int = 0
    plateau_factor: float = 0.9
    plateau_patience: int = 10
    poly_power: float = 0.9
    early_stop: int = 0  # validations without a new best after which the run ends; 0: never
    lr_small: float = 0.0  # rate of a CSLA block's small branch; 0: lr
    lr_field: str = "none"  # element-wise rates on large kernels: none, of the prior, or of CSLA's two branches
    lr_field_args: dict = field(default_factory=dict)
    freeze: tuple[str, ...] = ()  # name patterns of parameters that stay as they are
    deep_supervision: int = 0  # decoder levels below the full one with a loss of their own
    loss: str = "dice-ce"
    clip_grad: float = 12.0
    ema: float = 0.0
    precision: str = "32"
    checkpointing: bool = False  # keep few activations, compute the others again in the backward pass
    compile: bool = False  # torch.compile
    device: str = "auto"
    devices: int = 1  # processes on each machine
    nodes: int = 1  # machines
    threads: int = 0
    workers: int = 1
    seed: int = 0
    init: str = ""  # sha256 of the checkpoint whose weights the run starts from; "" is a random start
    init_labels: str = "strict"  # what ``init`` may differ in: nothing, labels met by key, or a new output layer
    fold: int = 0
    val_every: int = 500
    val_overlap: float = 0.25
    val_limit: int = 0
    save_every: int = 250
    keep_every: int = 0  # steps between checkpoints that stay, to look at the evolution of a run; 0: none
    log_every: int = 20
    augment: AugmentConfig = field(default_factory=AugmentConfig)

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise BadInput(f"{name} {getattr(self, name)!r} is unknown", f"choose one of: {', '.join(allowed)}")
        for name in (
            "steps",
            "batch_size",
            "crops_per_volume",
            "accumulate",
            "devices",
            "nodes",
            "val_every",
            "save_every",
            "log_every",
        ):
            if getattr(self, name) < 1:
                raise BadInput(f"--{name.replace('_', '-')} must be at least 1, got {getattr(self, name)}")
        for name, low, high in (("foreground", 0, 1), ("ema", 0, 0.99999), ("val_overlap", 0, 0.9), ("momentum", 0, 1)):
            if not low <= getattr(self, name) <= high:
                raise BadInput(f"--{name.replace('_', '-')} must lie in {low} to {high}, got {getattr(self, name)}")
        for name in (
            "lr",
            "lr_small",
            "weight_decay",
            "warmup",
            "poly_power",
            "early_stop",
            "deep_supervision",
            "clip_grad",
            "workers",
            "threads",
            "val_limit",
            "seed",
            "fold",
            "keep_every",
        ):
            if not getattr(self, name) >= 0:
                raise BadInput(f"--{name.replace('_', '-')} must not be negative, got {getattr(self, name)}")
        if len(self.patch) != 3 or any(p < 1 for p in self.patch):
            raise BadInput(f"--patch needs three sizes of at least 1, got {self.patch}")
        axes = self.augment.mirror_axes
        if len(set(axes)) != len(axes) or not set(axes) <= {0, 1, 2}:
            raise BadInput(f"--mirror-axes needs different axes out of 0, 1, 2, got {axes}", "write it as 1,2")
        if (crops := self.batch_size * self.crops_per_volume) % (parts := self.accumulate * self.devices * self.nodes):
            raise BadInput(
                f"the {crops} crops of a step cannot be shared by {parts} equal parts",
                "make --batch-size x --crops-per-volume a multiple of --accumulate x --devices x --nodes",
            )
        if self.compile and self.checkpointing:
            raise BadInput("--compile and --checkpointing exclude each other", "leave one of them out")

    def to_dict(self) -> dict:
        """Plain JSON types only (tuples become lists), so that a checkpoint needs no pickle to be read."""
        return _plain(asdict(self))


def defaults() -> dict:
    """Default of every field that has one, as `TrainConfig.to_dict` would write it except that tuples stay tuples."""
    return {
        f.name: f.default if f.default is not MISSING else f.default_factory()
        for f in fields(TrainConfig)
        if f.default is not MISSING or f.default_factory is not MISSING
    }


def differences(old: dict, new: dict) -> list[str]:
    """What of two configurations (as dicts) forbids to continue one with the other, as readable lines.

    More steps are allowed where the learning rate does not depend on their number. A checkpoint of an earlier version
    lacks the settings that came later; it was made as their defaults say.
    """
    standard = _plain({k: asdict(v) if isinstance(v, AugmentConfig) else v for k, v in defaults().items()})
    old, new = {**standard, **old}, {**standard, **new}
    lines = []
    for name in sorted(old.keys() | new.keys()):
        a, b = old.get(name), new.get(name)
        if a == b or name in FREE_ON_RESUME:
            continue
        if name == "steps" and new.get("schedule") not in BOUND_TO_STEPS:
            continue
        lines.append(f"{name}: {a} in the checkpoint, {b} now")
    return lines


def _plain(value):
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value
