"""What PythonQt (or the host) does differently from PyQt5, method by method: {class: {name: (function, static)}}.

File and input dialogs return one value and not a tuple; whatever would wait for a person asks the queue of answers;
opening a web page is recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PyQt5 import QtCore, QtWidgets

from . import signals
from .dialogs import Shown, dialogs


class BoolResult:
    """PythonQt's stand-in for a ``bool*`` argument: ``qt.QInputDialog.getText(..., ok)``."""

    def __init__(self) -> None:
        self._value = False

    def value(self) -> bool:
        return self._value

    def setValue(self, value: bool) -> None:
        self._value = bool(value)

    def __bool__(self) -> bool:
        return self._value


def _find_children(wrapper: Any, kind: Any = QtCore.QObject, name: Any = None) -> tuple[Any, ...]:
    from .wrapping import unwrap, wrap

    if isinstance(kind, str):
        found = [child for child in wrapper._real.findChildren(QtCore.QObject) if child.inherits(kind)]
        found = [child for child in found if name in (None, child.objectName())]
    elif name is None:
        found = wrapper._real.findChildren(unwrap(kind))
    else:
        found = wrapper._real.findChildren(unwrap(kind), unwrap(name))
    return tuple(wrap(child) for child in found)


def _find_child(wrapper: Any, kind: Any, name: Any = None) -> Any:
    return next(iter(_find_children(wrapper, kind, name)), None)


def _delete_later(wrapper: Any) -> None:
    wrapper._real._slicerhost_doomed = True
    wrapper._real.deleteLater()


def _single_shot(delay_ms: int, *rest: Any) -> None:
    target = rest[-1] if len(rest) == 1 else signals.find_slot(rest[0], rest[1])
    if not callable(target):
        raise TypeError("QTimer.singleShot(milliseconds, callable)")
    QtCore.QTimer.singleShot(int(delay_ms), signals.guarded(target, "QTimer.singleShot", 0))


def _execute(wrapper: Any) -> int:
    return dialogs.execute(wrapper._real)


def _message(icon: QtWidgets.QMessageBox.Icon, default_buttons: Any) -> Callable[..., Any]:
    def show(parent: Any, title: str, text: str, buttons: Any = default_buttons, default: Any = None) -> Any:
        from .wrapping import unwrap

        box = QtWidgets.QMessageBox(icon, title, text, QtWidgets.QMessageBox.StandardButtons(buttons), unwrap(parent))
        if default is not None:
            box.setDefaultButton(default)
        dialogs.execute(box)
        return box.standardButton(box.clickedButton()) if box.clickedButton() else QtWidgets.QMessageBox.Cancel

    return show


def _file(cancelled: Any) -> Callable[..., Any]:
    def ask(_parent: Any = None, title: str = "", folder: str = "", *_filters: Any) -> Any:
        return dialogs.ask("file", title, folder, cancelled)

    return ask


def _input(cancelled: Any) -> Callable[..., Any]:
    def ask(_parent: Any, title: str, label: str, *rest: Any) -> Any:
        reply = dialogs.ask("input", title, label, None)
        for value in rest:
            if isinstance(value, BoolResult):
                value.setValue(reply is not None)
        return cancelled if reply is None else reply

    return ask


def _open_url(url: Any) -> bool:
    dialogs.shown.append(Shown("url", "", url._real.toString(), True))
    return True


def _menu_exec(wrapper: Any, *_position: Any) -> Any:
    from .wrapping import wrap

    reply = dialogs.ask("menu", wrapper._real.title(), "\n".join(a.text() for a in wrapper._real.actions()), None)
    for action in wrapper._real.actions():
        if reply is not None and action.text().replace("&", "") == reply:
            action.trigger()
            return wrap(action)
    return None


_OK = QtWidgets.QMessageBox.Ok
_YES_NO = QtWidgets.QMessageBox.Yes | QtWidgets.QMessageBox.No

SPECIALS: dict[str, dict[str, tuple[Callable[..., Any], bool]]] = {
    "QObject": {
        "connect": (signals.connect, False),
        "disconnect": (signals.disconnect, False),
        "deleteLater": (_delete_later, False),
        "findChild": (_find_child, False),
        "findChildren": (_find_children, False),
    },
    "QTimer": {"singleShot": (_single_shot, True)},
    "QDialog": {"exec_": (_execute, False), "exec": (_execute, False)},
    "QMenu": {"exec_": (_menu_exec, False), "exec": (_menu_exec, False)},
    "QMessageBox": {
        "information": (_message(QtWidgets.QMessageBox.Information, _OK), True),
        "warning": (_message(QtWidgets.QMessageBox.Warning, _OK), True),
        "critical": (_message(QtWidgets.QMessageBox.Critical, _OK), True),
        "question": (_message(QtWidgets.QMessageBox.Question, _YES_NO), True),
    },
    "QFileDialog": {
        "getOpenFileName": (_file(""), True),
        "getSaveFileName": (_file(""), True),
        "getExistingDirectory": (_file(""), True),
        "getOpenFileNames": (_file(()), True),
    },
    "QInputDialog": {
        "getText": (_input(""), True),
        "getItem": (_input(""), True),
        "getInt": (_input(0), True),
        "getDouble": (_input(0.0), True),
    },
    "QDesktopServices": {"openUrl": (_open_url, True)},
}
