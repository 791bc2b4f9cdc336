"""README.md and LICENSE of a bundle: intended use, figures, limits, how to run it, and whose the data are."""

from __future__ import annotations

from pathlib import Path

from rep3d.export.agreement import Agreement
from rep3d.export.source import Source
from rep3d.shown_text import markdown

APACHE = Path(__file__).with_name("apache-2.0.txt")


def readme(source: Source, agreement: Agreement, *, traced: bool) -> str:
    """``docs/README.md``: how to run the bundle, what it does, and the model card as it is."""
    meta, task = source.meta, source.meta.task
    labels = "\n".join(f"| {label.value} | {markdown(label.name)} |" for label in task.labels)
    times = " x ".join(f"{v:g}" for v in meta.spacing_mm)
    patch = " x ".join(map(str, meta.patch))
    extra = "`models/model.ts` is the same network as TorchScript. " if traced else ""
    card = source.card.text.rstrip() if source.card else _no_card(source)
    return f"""# {markdown(task.title)}: MONAI bundle

Research software, **not a medical device**. Intended use: research on {task.modality} of the kind that the network was
trained on. {markdown(task.purpose)}

## Run

In the bundle's folder, on a folder of NIfTI scans (`.nii.gz`, `.nii`):

```
python -m monai.bundle run --config_file configs/inference.json --dataset_dir SCANS --output_dir RESULTS
```

Each scan NAME gets a label map NAME_seg.nii.gz on its own grid. Needed: MONAI with the packages of
`required_packages_version` in `configs/metadata.json`. Rep3D itself is not needed; where it is installed, its operator
runs the large kernels and takes less time (the first line of the output says which one runs).

Checks of the bundle, without and with a network connection:

```
python -m monai.bundle verify_metadata --meta_file configs/metadata.json --filepath docs/metadata.schema.json
python -m monai.bundle verify_metadata --meta_file configs/metadata.json --filepath schema-of-monai.json
python -m monai.bundle verify_net_in_out network_def --meta_file configs/metadata.json \\
  --config_file configs/inference.json
```

The first takes the schema in `docs/`, which is written from MONAI's specification; the second downloads MONAI's own.

## What it does

Axes are turned towards Right, Anterior and Superior; the scan is resampled to {times} mm, intensities are brought to
[0, 1] as `configs/inference.json` says, and windows of {patch} voxels run over the body. {extra}`scripts/` holds the
network and the transforms; `models/model.pt` holds the weights as a state dictionary.

At export the bundle's network was compared with Rep3D's: {agreement.sentence()}.

| value | structure |
|---|---|
{labels}

Limits: one 3D channel a file. Files that `rep3d segment` refuses with a reason (4D, colour, single slices, sheared
axes) are not checked for here. MONAI reads the file, so a NIfTI file whose two coordinate systems disagree may be
oriented otherwise than by other programs. Scans above 4 million voxels on the network's grid have their percentiles
taken on all voxels here and on a regular part of them in Rep3D.

Data: {task.dataset["source"]}. {task.dataset["citation"]}
Licence of the weights: {meta.licence}.

---

{card}
"""


def _no_card(source: Source) -> str:
    return (
        f"No model card lies beside these weights (`{source.meta.id}`, sha256 `{source.sha256}`): nothing is known of "
        "how well they do on cases that they never saw. `rep3d card` writes one from the results of `rep3d evaluate`."
    )


def licence(source: Source) -> str:
    """``LICENSE``: that of the weights with their data's source, and the code's in full."""
    meta = source.meta
    return (
        f"Weights (models/): {meta.licence}\n"
        f"Trained on: {meta.task.dataset['source']} (licence of the data: {meta.task.dataset['licence']})\n"
        f"Cite: {meta.task.dataset['citation']}\n\n"
        "Code (scripts/, configs/): Copyright the Rep3D developers, under the Apache License 2.0, as follows.\n\n"
        + APACHE.read_text(encoding="utf-8")
    )
