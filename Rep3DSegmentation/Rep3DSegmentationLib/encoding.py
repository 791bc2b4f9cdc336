"""Text that Qt and MRML can take: Python has names that are no UTF-8 with lone surrogates, which both refuse."""

from __future__ import annotations

from typing import Any


def encodable(value: Any) -> Any:
    """A JSON value whose texts can all be encoded: a byte of a name that is no UTF-8 is written as ``\\xNN``."""
    if isinstance(value, str):
        try:
            return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        except UnicodeEncodeError:  # half of a pair, as Windows allows in names
            return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {encodable(key): encodable(item) for key, item in value.items()}
    return [encodable(item) for item in value] if isinstance(value, list) else value
