"""How a network is run over a scan: one set of options, with one meaning, for segmenting and for evaluating."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any


@dataclass(frozen=True)
class InferenceOptions:
    """What may be chosen of a run; :func:`rep3d.inference.pipeline.segment_volume` takes each by this name.

    overlap: of neighbouring windows, 0 to 0.9. tta: average several views of each window; which, the weights say
    (see ``rep3d.inference.tta``). device, precision: "auto" or one of them. engine: torch, openvino or auto, the faster
    one here. batch: windows at once, or auto. remove_islands: take away parts of a structure far smaller than its
    largest one (see ``rep3d.inference.islands``); None: as the weights' validation says.
    """

    overlap: float = 0.5
    tta: bool = False
    device: str = "auto"
    precision: str = "auto"
    engine: str = "auto"
    batch: int | str = "auto"
    remove_islands: bool | None = None

    def resolved(self) -> InferenceOptions:
        """With the device and precision that "auto" means here, after a check of all options.

        Raises BadInput, DeviceUnavailable, also for a device that computes wrongly.
        """
        from rep3d import conformance
        from rep3d.inference.devices import resolve_device, resolve_precision
        from rep3d.inference.engines import check_engine
        from rep3d.inference.feeder import check_batch
        from rep3d.inference.windows import check_overlap

        check_batch(self.batch)
        check_engine(self.engine)
        check_overlap(self.overlap)
        device = resolve_device(self.device)
        precision = resolve_precision(self.precision, device)
        conformance.require(device, precision)
        return replace(self, device=str(device), precision=precision)

    def to_dict(self) -> dict[str, Any]:
        """The options by name, JSON-able."""
        return asdict(self)
