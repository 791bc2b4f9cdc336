"""Forms made with Qt Designer: ``qt.QUiLoader().load(file)``, with CTK and MRML widgets and their connections."""

from __future__ import annotations

import io
import re
import sys
import types
import xml.etree.ElementTree as ET

from PyQt5 import QtCore, QtWidgets, uic
from PyQt5.uic.exceptions import NoSuchClassError, NoSuchWidgetError, UnsupportedPropertyError

from . import signals, tooltips

_UIC_ERRORS = (NoSuchClassError, NoSuchWidgetError, UnsupportedPropertyError)
_MODULE = "slicerhost_custom_widgets"


class QUiLoader(QtCore.QObject):
    """Loads a form. Qt's own loader warns and goes on where it meets an unknown class or property; this one raises."""

    def load(self, device: QtCore.QIODevice, parent: QtWidgets.QWidget | None = None) -> QtWidgets.QWidget:
        """The widget that a form describes. Raises RuntimeError naming what the form asks for and nobody has."""
        if not device.isOpen() and not device.open(QtCore.QIODevice.ReadOnly):
            raise RuntimeError(f"Cannot open the form: {device.errorString()}")
        root = ET.fromstring(bytes(device.readAll()))
        _use_host_widgets(root)
        connections = _take_connections(root)
        _shorten_enums(root)
        for element in root.findall("resources"):
            root.remove(element)
        try:
            widget = uic.loadUi(io.BytesIO(ET.tostring(root, encoding="utf-8")))
        except (AttributeError, TypeError, *_UIC_ERRORS) as error:
            raise RuntimeError(f"The form asks for something that does not exist: {error}") from error
        for part in (widget, *widget.findChildren(QtWidgets.QWidget)):
            tooltips.word_wrap(part)
        if parent is not None:
            widget.setParent(parent)
        for sender, signal, receiver, slot in connections:
            _connect(widget, sender, signal, receiver, slot)
        return widget

    def createWidget(self, class_name: str, parent: QtWidgets.QWidget | None = None, name: str = ""):
        widget = _widget_class(class_name)(parent)
        widget.setObjectName(name)
        return widget

    def availableWidgets(self) -> list[str]:
        return sorted(_custom_widgets())


def _custom_widgets() -> dict[str, type]:
    from .widgets import CTK, MRML

    return {**CTK, **MRML}


def _widget_class(name: str) -> type:
    cls = _custom_widgets().get(name) or getattr(QtWidgets, name, None)
    if cls is None:
        raise RuntimeError(f"Unknown widget class '{name}'")
    return cls


def _use_host_widgets(root: ET.Element) -> None:
    """Replace the form's list of custom widgets by one that names the host's classes."""
    for element in root.findall("customwidgets"):
        root.remove(element)
    used = {str(element.get("class")) for element in root.iter("widget")}
    custom = sorted(name for name in used if not hasattr(QtWidgets, name) and name != "Line")
    module = types.ModuleType(_MODULE)
    section = ET.SubElement(root, "customwidgets")
    for name in custom:
        setattr(module, name, _widget_class(name))
        entry = ET.SubElement(section, "customwidget")
        ET.SubElement(entry, "class").text = name
        ET.SubElement(entry, "extends").text = "QWidget"
        ET.SubElement(entry, "header").text = _MODULE
    sys.modules[_MODULE] = module


def _take_connections(root: ET.Element) -> list[tuple[str, str, str, str]]:
    """Remove the connections from the form (uic knows no VTK types) and return them."""
    found = []
    for section in root.findall("connections"):
        for entry in section.findall("connection"):
            found.append(tuple(entry.findtext(tag, "") for tag in ("sender", "signal", "receiver", "slot")))
        root.remove(section)
    return found


def _shorten_enums(root: ET.Element) -> None:
    """``QFrame::Shape::NoFrame``, as Designer of Qt 6 writes it, becomes ``QFrame::NoFrame``."""
    for tag in ("enum", "set"):
        for element in root.iter(tag):
            element.text = re.sub(r"(\w+)::\w+::(\w+)", r"\1::\2", element.text or "")


def _connect(root: QtWidgets.QWidget, sender: str, signal: str, receiver: str, slot: str) -> None:
    from .wrapping import wrap

    ends = []
    for name in (sender, receiver):
        end = root if root.objectName() == name else root.findChild(QtCore.QObject, name)
        if end is None:
            raise RuntimeError(f"The form connects '{name}', which it does not contain")
        ends.append(wrap(end))
    try:
        signals.connect(ends[0], signal, ends[1], slot)
    except ValueError as error:
        raise RuntimeError(f"The form connects {sender}.{signal} to {receiver}.{slot}: {error}") from error
