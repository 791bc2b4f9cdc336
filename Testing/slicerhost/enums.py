"""Qt's enumerations as PythonQt has them: whole numbers. Their combinations and sets of flags are plain integers."""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar

from PyQt5 import sip


class EnumValue(int):
    """A value of an enumeration; ``_pyqt`` is the type that PyQt5 has for it."""

    _pyqt: ClassVar[type]

    def to_qt(self) -> Any:
        return self._pyqt(int(self))


def is_enum(cls: type) -> bool:
    return type(cls).__name__ == "enumtype"


def is_flags(cls: type) -> bool:
    """Whether a PyQt5 class is a set of flags (``Qt.Alignment``)."""
    return isinstance(cls, sip.wrappertype) and hasattr(cls, "__invert__") and hasattr(cls, "__int__")


@cache
def published(pyqt: type) -> type[EnumValue]:
    """The type that an extension sees for an enumeration or a set of flags of PyQt5."""
    return type(pyqt.__name__, (EnumValue,), {"_pyqt": pyqt})
