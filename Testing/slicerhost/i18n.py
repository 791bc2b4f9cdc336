"""``slicer.i18n``: texts pass through Qt's translators, of which the host installs none."""

from __future__ import annotations

import inspect
from pathlib import Path

from PyQt5 import QtCore


def translate(context: str, text: str) -> str:
    return QtCore.QCoreApplication.translate(context, text)


def getContext(sourceFile: str) -> str:
    """The context of a file: its name, preceded by the name of the package that it belongs to."""
    path = Path(sourceFile)
    in_package = (path.parent / "__init__.py").is_file()
    return f"{path.parent.name}.{path.stem}" if in_package else path.stem


def tr(text: str) -> str:
    """Translate in the context of the calling file. Raises TypeError for anything that is no text."""
    if not isinstance(text, str):
        raise TypeError(f"only texts can be translated, not {type(text).__name__}")
    caller = inspect.currentframe().f_back
    return translate(getContext(caller.f_code.co_filename), text)
