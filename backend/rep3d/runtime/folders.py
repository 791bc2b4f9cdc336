"""Where Rep3D keeps what it can make again."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

CACHE_DIR_VARIABLE = "REP3D_CACHE_DIR"


def cache_folder() -> Path:
    """``$REP3D_CACHE_DIR``, or the folder ``rep3d`` in the user's cache. Deleting it loses nothing but time."""
    return Path(os.environ.get(CACHE_DIR_VARIABLE) or platformdirs.user_cache_dir("rep3d", appauthor=False))
