"""From the names of a label list to labels of a task: keys, codes where the structure is known, colours that differ.

Codes come from the tasks of this package and nowhere else, so that every code that is given has been checked. A name
that is not known gets the generic code "Body organ structure"; its own name says what is meant.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from itertools import product

import numpy as np

from rep3d.errors import BadInput
from rep3d.tasks import Code, Label, list_shipped

ANATOMY = Code("123037004", "SCT", "Anatomical Structure")
GENERIC = Code("113343008", "SCT", "Body organ structure")
SIDES = {"right": Code("24028007", "SCT", "Right"), "left": Code("7771000", "SCT", "Left")}
#: Other names of structures that tasks of this package name, as they stand in published label lists.
SYNONYMS = {
    "gall bladder": "gallbladder",
    "oesophagus": "esophagus",
    "postcava": "inferior vena cava",
    "ivc": "inferior vena cava",
    "adrenal": "adrenal gland",
    "parotid": "parotid gland",
    "urinary bladder": "bladder",
    "brain stem": "brainstem",
    "prostate uterus": "prostate or uterus",
    "hepatic vessel": "vessel",
    "hepatic vessels": "vessel",
    "tumour": "tumor",
    "cancer": "tumor",
}
#: Smallest distance between two colours of a task (RGB, Euclidean).
COLOUR_GAP = 32.0
#: Distances beyond this are as good as this; a saturated colour may be this much nearer than a grey one.
FAR, SATURATION = 200.0, 60.0


def make_labels(names: Mapping[int, str]) -> tuple[Label, ...]:
    """Labels of a task from value -> name, without background.

    Raises BadInput unless the values are 1, 2, 3 ... and at most 255, or when a name is empty or repeated.
    """
    values = sorted(names)
    if values != list(range(1, len(values) + 1)) or not values or len(values) > 255:
        raise BadInput(
            f"the label values are {values}, but a task needs 1, 2, 3 ... (at most 255) without a gap",
            "Renumber the label maps, and the list of labels with them.",
        )
    labels: list[Label] = []
    for value in values:
        name = " ".join(str(names[value]).replace("_", " ").split())
        if not name:
            raise BadInput(f"label {value} has no name", "Give every label a name.")
        if any(name.casefold() == label.name.casefold() for label in labels):
            raise BadInput(f"two labels are called {name!r}", "Give every label a name of its own.")
        known, side = recognise(name)
        labels.append(
            Label(
                value=value,
                key=_key(name, value, {label.key for label in labels}),
                name=name[0].upper() + name[1:],
                color=_colour(known, labels),
                category=known.category if known else ANATOMY,
                type=known.type if known else GENERIC,
                modifier=_modifier(known, side),
            )
        )
    return tuple(labels)


def _modifier(known: Label | None, side: str) -> Code | None:
    """The side that the name gives; else what the known label has, unless that is a side, which the name lacks."""
    if side:
        return SIDES[side]
    return known.modifier if known and known.modifier not in SIDES.values() else None


def recognise(name: str) -> tuple[Label | None, str]:
    """(the label of a shipped task with this structure, or None; "left", "right" or "").

    The side counts only with a structure that is known, because only then is it sure to be a side.
    """
    words = _words(name)
    side = next((word for word in words if word in SIDES), "")
    rest = [word for word in words if word not in SIDES]
    if len(words) - len(rest) > 1:  # "left or right kidney"
        return None, ""
    table = _known()
    for plain in (" ".join(rest), SYNONYMS.get(" ".join(rest), "")):
        key = " ".join(sorted(plain.split()))
        if key in table:
            return table.get(f"{side} {key}", table[key]), side
    return None, ""


@lru_cache(maxsize=1)
def _known() -> dict[str, Label]:
    """Sorted words of a name, alone and after the side -> a label of a shipped task, the first by the tasks' keys."""
    table: dict[str, Label] = {}
    for task in list_shipped():
        for label in task.labels:
            for words in (_words(label.name), _words(label.key)):
                key = " ".join(sorted(word for word in words if word not in SIDES))
                for side in (word for word in words if word in SIDES):
                    table.setdefault(f"{side} {key}", label)
                table.setdefault(key, label)
    return table


def _words(name: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", _plain(name))


def _plain(name: str) -> str:
    """Lower case without accents: "Œsophage Gauche" keeps what has no plain letter out of it."""
    return unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()


def slug(text: str) -> str:
    """Lower-case letters, digits and single hyphens; "" when nothing of ``text`` can be kept."""
    return "-".join(re.findall(r"[a-z0-9]+", _plain(text)))


def _key(name: str, value: int, taken: set[str]) -> str:
    key = slug(name) or f"label-{value}"
    return key if key not in taken else f"{key}-{value}"


def _colour(known: Label | None, labels: list[Label]) -> tuple[int, int, int]:
    """The known structure's colour if it can be told from those before, else the one of a fixed list farthest away."""
    used = np.array([label.color for label in labels], float).reshape(-1, 3)
    if known and (not len(used) or np.linalg.norm(used - known.color, axis=1).min() >= COLOUR_GAP):
        return known.color
    palette, saturation = _palette()
    gap = np.linalg.norm(palette[:, None] - used[None], axis=2).min(axis=1, initial=FAR)
    return tuple(int(c) for c in palette[np.argmax(gap + SATURATION * saturation * (gap > COLOUR_GAP))])  # type: ignore[return-value]


@lru_cache(maxsize=1)
def _palette() -> tuple[np.ndarray, np.ndarray]:
    """279 colours [279, 3] at least 37 apart, none of them dark, and the saturation of each in 0..1."""
    levels = range(25, 256, 37)
    every = np.array([c for c in product(levels, repeat=3) if max(c) > 130], float)
    return every, (every.max(1) - every.min(1)) / every.max(1)
