"""The JSON files of a MONAI bundle: metadata.json with a schema to check it offline, and inference.json."""

from __future__ import annotations

from typing import Any

from rep3d import __version__
from rep3d.errors import BadInput
from rep3d.export.describe import OVERLAP
from rep3d.export.source import Source
from rep3d.tasks import Intensity

BUNDLE_VERSION = "1.0.0"
#: MONAI's own schema of metadata.json; `monai.bundle verify_metadata` downloads it.
SCHEMA_URL = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
PARTS = "scripts.export.monai_parts"


def intensity_transforms(intensity: Intensity) -> list[dict[str, Any]]:
    """MONAI's transforms that do what ``normalise`` does: clip, then scale by percentiles or by the clip's bounds."""
    steps: list[dict[str, Any]] = []
    if intensity.percentiles is None:
        if intensity.clip is None:
            raise BadInput("the intensities have neither clip nor percentiles")
        low, high = intensity.clip
        scale = {"a_min": low, "a_max": high, "b_min": 0.0, "b_max": 1.0, "clip": True}
        return [{"_target_": "ScaleIntensityRanged", "keys": "image", **scale}]
    if intensity.clip is not None:
        low, high = intensity.clip
        for threshold, above in ((high, False), (low, True)):
            limits = {"threshold": threshold, "above": above, "cval": threshold}
            steps.append({"_target_": "ThresholdIntensityd", "keys": "image", **limits})
    lower, upper = intensity.percentiles
    scale = {"lower": lower, "upper": upper, "b_min": 0.0, "b_max": 1.0, "clip": True}
    return [*steps, {"_target_": "ScaleIntensityRangePercentilesd", "keys": "image", **scale}]


def inference_config(source: Source) -> dict[str, Any]:
    """``configs/inference.json``: from a folder of NIfTI files to label maps on their own grids."""
    meta = source.meta
    patch = list(meta.patch)
    return {
        "imports": ["$import os", "$import torch"],
        "bundle_root": ".",
        "dataset_dir": "$@bundle_root + '/images'",
        "output_dir": "$@bundle_root + '/eval'",
        "overlap": OVERLAP,
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "network_def": {
            "_target_": "scripts.networks.create_network",
            "name": meta.network["name"],
            **meta.network["args"],
        },
        "network": "$@network_def.to(@device)",
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "LoadImaged", "keys": "image"},
                {"_target_": "EnsureChannelFirstd", "keys": "image"},
                {"_target_": "EnsureTyped", "keys": "image", "dtype": "$torch.float32"},
                {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS", "labels": None},
                {"_target_": f"{PARTS}.NetworkGridd", "keys": "image", "spacing_mm": list(meta.spacing_mm)},
                *intensity_transforms(meta.intensity),
                {"_target_": f"{PARTS}.BodyBoxd", "keys": "image", "patch": patch},
            ],
        },
        "dataset": {
            "_target_": "Dataset",
            "data": {"_target_": f"{PARTS}.find_scans", "folder": "@dataset_dir"},
            "transform": "@preprocessing",
        },
        "dataloader": {
            "_target_": "DataLoader",
            "dataset": "@dataset",
            "batch_size": 1,
            "shuffle": False,
            "num_workers": 0,
        },
        "inferer": {"_target_": f"{PARTS}.WindowInferer", "patch": patch, "overlap": "@overlap"},
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                {
                    "_target_": "Invertd",
                    "keys": "pred",
                    "transform": "@preprocessing",
                    "orig_keys": "image",
                    "nearest_interp": False,
                    "to_tensor": True,
                },
                {
                    "_target_": "SaveImaged",
                    "keys": "pred",
                    "output_dir": "@output_dir",
                    "output_ext": ".nii.gz",
                    "output_postfix": "seg",
                    "output_dtype": "$__import__('numpy').uint8",
                    "resample": False,
                    "separate_folder": False,
                },
            ],
        },
        "handlers": [
            {
                "_target_": "CheckpointLoader",
                "load_path": "$@bundle_root + '/models/model.pt'",
                "load_dict": {"model": "@network"},
                "map_location": "@device",
            },
            {"_target_": "StatsHandler", "iteration_log": False},
        ],
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
            "val_handlers": "@handlers",
            "amp": False,
        },
        "run": ["$print('large kernels on', __import__('scripts.ops').ops.operator())", "$@evaluator.run()"],
    }


def metadata(source: Source, packages: dict[str, str], description: dict[str, Any]) -> dict[str, Any]:
    """``configs/metadata.json`` by MONAI's specification; ``rep3d_export`` holds the description of the export."""
    import monai
    import numpy
    import torch

    meta, task = source.meta, source.meta.task
    channels = {"0": "background"} | {str(label.value): label.name for label in task.labels}
    patch = list(meta.patch)
    scores = {}
    if source.card is not None:
        scores = {"dice": source.card.record.get("test", {}).get("dice", {})}
    return {
        "schema": SCHEMA_URL,
        "version": BUNDLE_VERSION,
        "changelog": {BUNDLE_VERSION: f"exported from {meta.id} by Rep3D {__version__}"},
        "monai_version": str(monai.__version__),
        "pytorch_version": str(torch.__version__).partition("+")[0],
        "numpy_version": str(numpy.__version__),
        "required_packages_version": packages,
        "name": task.title,
        "task": task.title,
        "description": f"{task.purpose} {description['disclaimer']}",
        "authors": "The Rep3D developers",
        "copyright": f"Weights: {meta.licence}. Code: Apache-2.0. See LICENSE.",
        "data_source": task.dataset["source"],
        "data_type": "nibabel",
        "image_classes": f"{task.modality}, one channel, scaled to [0, 1]",
        "label_classes": ", ".join(f"{value} {name}" for value, name in channels.items()),
        "pred_classes": ", ".join(f"{value} {name}" for value, name in channels.items()),
        "eval_metrics": scores,
        "intended_use": f"Research. {description['disclaimer']}",
        "references": [task.dataset["citation"]],
        "network_data_format": {
            "inputs": {
                "image": {
                    "type": "image",
                    "format": "magnitude",
                    "modality": task.modality,
                    "num_channels": source.network.in_channels,
                    "spatial_shape": patch,
                    "dtype": "float32",
                    "value_range": [0, 1],
                    "is_patch_data": True,
                    "channel_def": {"0": "image"},
                }
            },
            "outputs": {
                "pred": {
                    "type": "image",
                    "format": "segmentation",
                    "modality": "n/a",
                    "num_channels": task.num_classes,
                    "spatial_shape": patch,
                    "dtype": "float32",
                    "value_range": [],
                    "is_patch_data": True,
                    "channel_def": channels,
                }
            },
        },
        "rep3d_export": description,
    }


def metadata_schema() -> dict[str, Any]:
    """A JSON schema of metadata.json, written from MONAI's bundle specification, that needs no download.

    Stricter than MONAI's own: one image input and one prediction, each with all the keys of the specification.
    """
    text, number = {"type": "string", "minLength": 1}, {"type": "integer", "minimum": 1}
    tensor = {
        "type": {"enum": ["image"]},
        "format": {"enum": ["magnitude", "hounsfield", "segmentation"]},
        "modality": text,
        "num_channels": number,
        "spatial_shape": {"type": "array", "items": number, "minItems": 3, "maxItems": 3},
        "dtype": {"enum": ["float32"]},
        "value_range": {"type": "array", "items": {"type": "number"}, "maxItems": 2},
        "is_patch_data": {"type": "boolean"},
        "channel_def": {"type": "object", "additionalProperties": text, "minProperties": 1},
    }
    one = {"type": "object", "properties": tensor, "required": sorted(tensor)}
    versions = ("version", "monai_version", "pytorch_version", "numpy_version")
    words = ("schema", "task", "description", "authors", "copyright", "data_source", "intended_use")
    properties: dict[str, Any] = {name: text for name in (*versions, *words)}
    properties["required_packages_version"] = {"type": "object", "additionalProperties": text}
    properties["network_data_format"] = {
        "type": "object",
        "properties": {
            "inputs": {"type": "object", "properties": {"image": one}, "required": ["image"]},
            "outputs": {"type": "object", "properties": {"pred": one}, "required": ["pred"]},
        },
        "required": ["inputs", "outputs"],
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "metadata.json of a bundle made by Rep3D",
        "type": "object",
        "properties": properties,
        "required": sorted(properties),
    }
