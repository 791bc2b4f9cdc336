"""Which cases train, tune and test: the policies that a task's ``split`` may name, checked and applied.

Every policy is a pure function of the case names, so that the same data give the same split on every machine and a case
never moves from test to train because another one was added, except where a policy says so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from rep3d.errors import BadInput
from rep3d.tasks import checks

PARTS = ("train", "val", "test")


def check_split(value: Any, source: str) -> dict[str, Any]:
    """Check the ``split`` of a task file and return it as a plain dict. Raises BadInput.

    kinds: ``folders`` (the data set's own folders), ``modulo`` (every n-th case by name), ``counts`` (one fixed split
    of the given sizes), ``folds`` (the same, rotated: fold k of n).
    """
    kinds = {
        "folders": ("kind", *PARTS),
        "modulo": ("kind", "test", "val"),
        "counts": ("kind", "seed", *PARTS),
        "folds": ("kind", "seed", "folds", "ensemble", *PARTS),
    }
    if not isinstance(value, dict) or not isinstance(value.get("kind"), str) or value["kind"] not in kinds:
        raise checks.fail(source, "split.kind", f"must be one of {', '.join(kinds)}")
    kind = value["kind"]
    optional = {"ensemble"}
    entry = checks.mapping(value, source, "split", kinds[kind], [k for k in kinds[kind] if k not in optional])
    if kind == "folders":
        for part in PARTS:
            checks.text(entry[part], source, f"split.{part}")
    elif kind == "modulo":
        for part in ("test", "val"):
            rule = checks.mapping(entry[part], source, f"split.{part}", ("every", "at"), ("every", "at"))
            every = checks.whole(rule["every"], source, f"split.{part}.every", 2)
            checks.whole(rule["at"], source, f"split.{part}.at", 0, every - 1)
            entry[part] = rule
    else:
        checks.whole(entry["seed"], source, "split.seed", 0)
        for part in PARTS:
            checks.whole(entry[part], source, f"split.{part}", 1)
        if kind == "folds":
            checks.whole(entry["folds"], source, "split.folds", 2)
            if not isinstance(entry.get("ensemble", False), bool):
                raise checks.fail(source, "split.ensemble", "must be true or false")
    return entry


def split_cases(
    split: dict[str, Any], cases: Sequence[str], fold: int = 0, patients: Mapping[str, str] | None = None
) -> dict[str, list[str]]:
    """Apply a task's split to case names; returns {"train": [...], "val": [...], "test": [...]}, each sorted.

    cases: for ``folders`` paths such as "train/pt_1" (the first part is the folder); otherwise bare names.
    fold: which fold of a ``folds`` split, 0-based.
    patients: case name -> patient; the policy then divides patients and every case follows its patient, so that no
    patient is in two parts. Without it, every case is a patient.

    Raises BadInput for repeated names, an unknown folder, a fold that does not exist, or too few cases.

    ``counts`` and ``folds`` keep the policy's proportions when the number of patients is another one. Where the test
    share of ``folds`` is 1/n, every patient is tested in exactly one fold.
    """
    names = sorted(cases)
    if len(set(names)) != len(names):
        raise BadInput("case names are repeated", hint="Every case needs a name of its own.")
    kind = split["kind"]
    if kind == "folders":
        return _by_folder(split, names)
    if patients is not None:
        parts = split_cases(split, sorted({patients[name] for name in names}), fold)
        part_of = {patient: part for part, members in parts.items() for patient in members}
        return {part: [n for n in names if part_of[patients[n]] == part] for part in PARTS}
    if kind == "modulo":
        test = [n for i, n in enumerate(names) if i % split["test"]["every"] == split["test"]["at"]]
        rest = [n for i, n in enumerate(names) if i % split["test"]["every"] != split["test"]["at"]]
        val = [n for i, n in enumerate(rest) if i % split["val"]["every"] == split["val"]["at"]]
        train = [n for i, n in enumerate(rest) if i % split["val"]["every"] != split["val"]["at"]]
        return {"train": train, "val": val, "test": test}
    folds = split.get("folds", 1)
    if not 0 <= fold < folds:
        raise BadInput(f"fold {fold} does not exist: there are {folds}", hint=f"Use 0 to {folds - 1}.")
    if len(names) < max(3, folds):
        raise BadInput(
            f"{len(names)} cases cannot be split in train, val and test" + (f" for {folds} folds" if folds > 1 else ""),
            hint=f"At least {max(3, folds)} are needed (of different patients).",
        )
    # Order by a hash of the name: random-looking, the same everywhere, independent of Python's own hashing.
    order = sorted(names, key=lambda n: hashlib.sha256(f"{split['seed']}:{n}".encode()).hexdigest())
    start, end = fold * len(order) // folds, (fold + 1) * len(order) // folds
    order = order[start:] + order[:start]
    total = sum(split[part] for part in PARTS)
    n_test = max(1, round(len(order) * split["test"] / total))
    if split["test"] * folds == total:  # the folds' tests tile the cohort, whatever the rounding
        n_test = end - start
    n_val = max(1, round(len(order) * split["val"] / total))
    return {
        "train": sorted(order[n_test + n_val :]),
        "val": sorted(order[n_test : n_test + n_val]),
        "test": sorted(order[:n_test]),
    }


def _by_folder(split: dict[str, Any], names: list[str]) -> dict[str, list[str]]:
    parts: dict[str, list[str]] = {part: [] for part in PARTS}
    folder_to_part = {split[part]: part for part in PARTS}
    for name in names:
        folder = name.replace("\\", "/").split("/")[0]
        if folder not in folder_to_part:
            known = ", ".join(folder_to_part)
            raise BadInput(f"case {name!r} lies in none of the split's folders", hint=f"Known folders: {known}.")
        parts[folder_to_part[folder]].append(name)
    return parts
