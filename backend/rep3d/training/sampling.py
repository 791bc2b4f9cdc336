"""Which case and which class every place of every batch gets: a pure function of (seed, position).

``position`` counts the volumes of a run over all steps, so that it does not matter how many processes share a step.

- "present": cases in a new random order every epoch; each crop (share ``foreground``) on a random class that its case
  holds. A class that few cases hold is then seen seldom.
- "balanced": classes in turn, in a new random order every round; for each a case that holds it, again in turn. Over a
  round every class is the target once, whatever number of cases holds it: a case is drawn with a weight of the sum over
  its classes of 1 / (cases with that class). The share 1 - ``foreground`` of the volumes comes as in "uniform", so that
  cases without any structure are seen too.
- "uniform": cases in turn, crops anywhere; ``foreground`` plays no part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rep3d.data.cache import Sample
from rep3d.errors import BadInput

# What a random stream is for: the last number of its seed, so that no two streams of a run are the same.
_CASES, _CLASSES, _CASES_OF_CLASS, _FOREGROUND = 1, 2, 3, 4


@dataclass(frozen=True)
class Pick:
    """A place of a batch: the case's index, the share of its crops on foreground, and their class (None: any)."""

    case: int
    foreground: float
    target: int | None = None


class Sampler:
    """Picks for a cohort.

    Args:
        samples: the cohort; only ``centres`` is looked at.
        sampling: "present", "balanced" or "uniform".
        foreground: share of crops (balanced: of volumes) that are centred on a structure.
        seed: of the run.

    Raises BadInput for "balanced" when no case holds any structure.
    """

    def __init__(self, samples: Sequence[Sample], *, sampling: str, foreground: float, seed: int):
        self.count = len(samples)
        self.sampling = sampling
        self.foreground = foreground
        self.seed = seed
        self.holders: dict[int, list[int]] = {}  # class -> indices of the cases that hold it
        if sampling == "balanced":
            for index, sample in enumerate(samples):
                for value, where in sample.centres.items():
                    if len(where):
                        self.holders.setdefault(value, []).append(index)
            if not self.holders:
                raise BadInput(
                    "--sampling balanced needs structures, but no training case holds any",
                    "check the labels, or use --sampling uniform",
                )
        self.classes = sorted(self.holders)

    def pick(self, position: int) -> Pick:
        """What the volume at ``position`` (0, 1, 2 ... over the whole run) is."""
        if self.sampling == "present":
            return Pick(self._in_turn(position), self.foreground)
        on_class = np.random.default_rng([self.seed, position, 0, _FOREGROUND]).random() < self.foreground
        if self.sampling == "balanced" and on_class:
            return self._of_a_class(position)
        return Pick(self._in_turn(position), 0.0)

    def _in_turn(self, position: int) -> int:
        """Cases come in a new order every epoch; the order is a function of (seed, epoch)."""
        epoch, place = divmod(position, self.count)
        return int(np.random.default_rng([self.seed, epoch, 0, _CASES]).permutation(self.count)[place])

    def _of_a_class(self, position: int) -> Pick:
        """A round has every class once, so the number of the round says how often a class has had its turn."""
        turn, place = divmod(position, len(self.classes))
        order = np.random.default_rng([self.seed, turn, 0, _CLASSES]).permutation(len(self.classes))
        target = self.classes[order[place]]
        holders = self.holders[target]
        again, place = divmod(turn, len(holders))
        order = np.random.default_rng([self.seed, again, target, _CASES_OF_CLASS]).permutation(len(holders))
        return Pick(holders[order[place]], 1.0, target)
