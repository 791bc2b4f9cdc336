"""From stored intensities to the network's [0, 1]: which values to clip and how to scale, with named presets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rep3d.tasks import checks


@dataclass(frozen=True)
class Intensity:
    """Clip to ``clip``, scale to [0, 1], clamp.

    clip: (low, high) in the image's own units (HU for CT), or None for no clipping.
    percentiles: (low, high) in 0..100, the volume's percentiles that become 0 and 1; None scales by the clip bounds, so
        that a CT value means the same in every scan.
    """

    clip: tuple[float, float] | None
    percentiles: tuple[float, float] | None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form, read back by :meth:`from_value`."""
        return {
            "clip": list(self.clip) if self.clip else None,
            "percentiles": list(self.percentiles) if self.percentiles else None,
        }

    @classmethod
    def from_value(cls, value: Any, source: str = "task", key: str = "intensity") -> Intensity:
        """Read the name of a preset, or a mapping with ``clip`` and ``percentiles``. Raises BadInput."""
        if isinstance(value, str):
            if value not in INTENSITY_PRESETS:
                known = ", ".join(sorted(INTENSITY_PRESETS))
                raise checks.fail(source, key, f"no intensity preset is called {checks.shown(value)}; known: {known}")
            return INTENSITY_PRESETS[value]
        entry = checks.mapping(value, source, key, ("clip", "percentiles"), ("clip", "percentiles"))
        clip = percentiles = None
        if entry["clip"] is not None:
            clip = checks.interval(entry["clip"], source, f"{key}.clip")
        if entry["percentiles"] is not None:
            percentiles = checks.interval(entry["percentiles"], source, f"{key}.percentiles")
            if percentiles[0] < 0 or percentiles[1] > 100:
                raise checks.fail(source, f"{key}.percentiles", f"must lie in 0..100, not {list(percentiles)}")
        if clip is None and percentiles is None:
            raise checks.fail(source, key, "clip and percentiles cannot both be null: nothing would set the scale")
        return cls(clip, percentiles)


#: Presets that a task file or a command may name instead of giving numbers.
INTENSITY_PRESETS: dict[str, Intensity] = {
    # The paper's text: clip, then min-max by the volume's 1st and 99th percentile.
    "ct-abdomen": Intensity((-175.0, 250.0), (1.0, 99.0)),
    "ct-hepatic": Intensity((0.0, 230.0), (1.0, 99.0)),
    "mr-paper": Intensity((0.0, 1000.0), (1.0, 99.0)),
    # The authors' public code instead: this window, no percentiles. For weights that were trained with that code.
    "ct-authors-code": Intensity((-125.0, 275.0), None),
    # Absolute windows: the same HU gives the same input in every scan.
    "ct-abdomen-absolute": Intensity((-175.0, 250.0), None),
    "ct-head-neck-absolute": Intensity((-200.0, 400.0), None),
    # MR has no absolute scale, so only the volume's own percentiles count.
    "mr-percentiles": Intensity(None, (0.5, 99.5)),
}
