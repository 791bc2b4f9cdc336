"""Texts for the user in the language of the application; unchanged where there is no application."""

from __future__ import annotations

import sys


def _(text: str) -> str:
    """``text`` translated by Slicer, in the context of the calling file (as ``slicer.i18n.tr`` would name it)."""
    try:
        from slicer.i18n import getContext, translate
    except ImportError:  # slicer-core alone carries no translations
        return text
    return translate(getContext(sys._getframe(1).f_code.co_filename), text) or text
