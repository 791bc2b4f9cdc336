"""A generated abdominal CT with exact truth, for demonstrations, tests and training without patients' data."""

from rep3d.phantom.generator import PHANTOM_VERSION, Phantom, generate
from rep3d.phantom.options import FIELDS_OF_VIEW, ScanOptions
from rep3d.phantom.painted import Anatomies, paint
from rep3d.phantom.scene import LABELS

__all__ = [
    "FIELDS_OF_VIEW",
    "LABELS",
    "PHANTOM_VERSION",
    "Anatomies",
    "Phantom",
    "ScanOptions",
    "generate",
    "paint",
]
