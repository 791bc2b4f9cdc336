"""The host: one object that starts everything, loads modules and lets a test act as a person would."""

from __future__ import annotations

import os
import sys
import time
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk  # noqa: F401 - published below
from PyQt5 import QtCore, QtGui, QtTest, QtWidgets, sip

from . import errors, i18n, qtmodule, requirements, threads, views
from .boot import boot
from .dialogs import dialogs
from .programs import Programs
from .views_interaction import SliceHands
from .wrapping import unwrap, wrap, wrapper_class


@dataclass(frozen=True)
class LoadedModule:
    """A scripted module in the host.

    name: its name; python: the imported file; instance: the object of its class <Name>; panel: the widget on
    the screen; widget: the object of its class <Name>Widget, after ``setup()``; logic: its ``logic``, or None.
    """

    name: str
    python: types.ModuleType
    instance: Any
    panel: Any
    widget: Any
    logic: Any


class Host(SliceHands):
    """A Slicer without the desktop. There is one in a process: ``Host.start()``."""

    _running: Host | None = None

    @classmethod
    def start(cls) -> Host:
        if cls._running is None:
            cls._running = cls()
        return cls._running

    def __init__(self) -> None:
        from .application import qSlicerApplication
        from .modules import Modules

        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
        requirements.check()
        sip.setdestroyonexit(False)  # Qt and VTK objects must not be torn down in the interpreter's random order
        self.core = boot()
        self.programs = Programs(self.core.home)
        self.dialogs = dialogs
        self.errors = errors.log
        errors.install_message_handler()
        self._real_app = qSlicerApplication()
        self.app = wrap(self._real_app)
        self._modules = Modules()
        self.publish()
        self._real_app._start(self.core)
        errors.install_hook()
        threads.collect_here()
        self._install_scripted()
        for name in ("SampleData", "SegmentEditor"):
            self._real_app._modules._load_scripted(Path(__file__).parent / "builtin" / f"{name}.py")

    def publish(self) -> None:
        """Offer everything under the names that extensions use; again where someone else replaced them."""
        from . import segment_editor
        from .modules import qSlicerLoadableModule, qSlicerScriptedLoadableModule
        from .widgets import MRML

        slicer.app, slicer.mrmlScene, slicer.modules = self.app, self.core.scene, self._modules
        slicer.i18n = i18n
        for name, real in MRML.items():
            setattr(slicer, name, wrapper_class(real))
        for real in (qSlicerLoadableModule, qSlicerScriptedLoadableModule, type(self._real_app)):
            setattr(slicer, real.__name__, wrapper_class(real))
        sys.modules["slicer.i18n"] = i18n
        sys.modules.setdefault("qt", qtmodule.make_qt())
        sys.modules.setdefault("ctk", qtmodule.make_ctk())
        if "PythonQt" not in sys.modules:
            sys.modules.update(qtmodule.make_pythonqt())
        segment_editor.publish()
        main = sys.modules["__main__"]
        for name in ("qt", "ctk", "vtk", "slicer"):
            if not hasattr(main, name):
                setattr(main, name, sys.modules[name])

    def _install_scripted(self) -> None:
        from . import scripted

        slicer.ScriptedLoadableModule = scripted
        sys.modules["slicer.ScriptedLoadableModule"] = scripted

    # Modules

    def load_module(self, path: str | Path) -> LoadedModule:
        """Load a scripted module from its file and make its panel; one of its name that is loaded is unloaded first.

        Raises what the module raises.
        """
        path = Path(path).resolve()
        if path.stem in self._real_app._modules.known:
            self.unload_module(path.stem)
        module = self._real_app._modules._load_scripted(path)
        self._real_app.startupCompleted.emit()
        try:
            return self.loaded(module.objectName())
        except Exception:
            self._real_app._modules._unload(module.objectName())
            raise

    def loaded(self, name: str) -> LoadedModule:
        """A module that was loaded before, as it is now (after a reload its objects are others)."""
        module = self._real_app._modules.known[name]
        panel = module.widgetRepresentation()
        widget = panel.self() if panel is not None else None
        instance = getattr(slicer.modules, f"{name}Instance")
        logic = getattr(widget, "logic", None)
        return LoadedModule(name, sys.modules[name], instance, wrap(panel), widget, logic)

    def reload(self, name: str) -> LoadedModule:
        """Load a module's file again, as the button "Reload" does."""
        slicer.util.reloadScriptedModule(name)
        return self.loaded(name)

    def unload_module(self, name: str) -> None:
        selector = self._real_app._window.moduleSelector()
        if selector.selectedModule == name:
            selector._leave()
        self._real_app._modules._unload(name)
        self.process_events()

    @contextmanager
    def without_module(self, name: str) -> Iterator[None]:
        """A Slicer that has no such module, as one may be built or started: importing it fails too."""
        path = Path(self._real_app._modules.known[name].path)
        self.unload_module(name)
        sys.modules[name] = None  # so that the import system finds none
        try:
            yield
        finally:
            del sys.modules[name]
            self._real_app._modules._load_scripted(path)

    def select_module(self, name: str) -> None:
        """Show a module's panel in the main window: ``exit()`` of the old one and ``enter()`` of the new are called."""
        slicer.util.selectModule(name)
        self.process_events()

    def shut_down(self) -> None:
        """End as the application does: modules are cleaned up, ``aboutToQuit`` is emitted. At the very end only."""
        self._real_app._window.moduleSelector()._leave()
        for name in self._real_app._modules.modulesNames():
            self._real_app._modules.moduleAboutToBeUnloaded.emit(name)
        self._real_app.aboutToQuit.emit()
        self.process_events()
        for widget in self._real_app.topLevelWidgets():
            widget.close()
        self.core.scene.Clear(1)

    # Time

    def process_events(self, milliseconds: int = 0) -> None:
        """Let Qt work: all that is waiting, or for a time."""
        end = time.monotonic() + milliseconds / 1000
        while True:
            self._real_app.processEvents(QtCore.QEventLoop.AllEvents, 20)
            self._real_app.sendPostedEvents(None, QtCore.QEvent.DeferredDelete)
            if time.monotonic() >= end:
                threads.collect()
                return
            time.sleep(0.002)

    def wait_until(self, condition: Callable[[], Any], timeout_s: float = 10.0) -> Any:
        """Process events until a condition holds and return it. Raises TimeoutError, or the first recorded error."""
        end = time.monotonic() + timeout_s
        known = len(self.errors)
        while not (value := condition()):
            if len(self.errors) > known:
                raise self.errors[known].error
            if time.monotonic() > end:
                raise TimeoutError(f"Waited {timeout_s:g} s in vain")
            self.process_events(10)
        return value

    @staticmethod
    def real(widget: Any) -> Any:
        """The PyQt5 object behind a widget: for tests that need what Slicer hides from Python."""
        return unwrap(widget)

    # A person's hands

    def click(self, widget: Any) -> None:
        """Click with the left button. Raises AssertionError where a person could not: disabled or hidden."""
        real = unwrap(widget)
        name = real.objectName() or real
        assert real.isEnabled(), f"{name} is disabled"
        assert real.isWindow() or real.isVisibleTo(real.window()), f"{name} is hidden (or its section is folded)"
        QtTest.QTest.mouseClick(real, QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, self._handle(real))
        self.process_events()

    @staticmethod
    def _handle(real: QtWidgets.QWidget) -> QtCore.QPoint:
        if isinstance(real, QtWidgets.QCheckBox | QtWidgets.QRadioButton):
            return QtCore.QPoint(8, real.height() // 2)
        return QtCore.QPoint(min(10, real.width() // 2), min(10, real.height() // 2))

    def type_text(self, widget: Any, text: str) -> None:
        real = unwrap(widget)
        target = real.focusProxy() or real
        if hasattr(target, "selectAll"):
            target.selectAll()
        QtTest.QTest.keyClicks(target, text)
        self.process_events()

    def choose(self, combo: Any, text: str) -> None:
        """Choose an entry of a combo box (also of a qMRMLNodeComboBox) by its text. Raises ValueError without one."""
        real = unwrap(combo)
        inner = real if isinstance(real, QtWidgets.QComboBox) else real.findChild(QtWidgets.QComboBox)
        row = inner.findText(text)
        if row < 0:
            raise ValueError(f"no entry '{text}', only {[inner.itemText(i) for i in range(inner.count())]}")
        inner.setCurrentIndex(row)
        inner.activated.emit(row)
        self.process_events()

    # Scene and pictures

    def close_scene(self) -> None:
        self.core.scene.Clear(0)
        self.process_events()

    def save_scene(self, path: str | Path) -> None:
        if not slicer.util.saveScene(str(path), {}):
            raise RuntimeError(f"The scene could not be saved to {path}")

    def load_scene(self, path: str | Path) -> None:
        """Replace the scene by that of a file."""
        if not self._real_app._io.loadNodes("SceneFile", {"fileName": str(path), "clear": True}):
            raise RuntimeError(f"The scene could not be loaded from {path}")
        self.process_events()

    def save_picture(self, widget: Any, path: str | Path, width: int = 0) -> Path:
        """A PNG of a widget as it looks now, at least ``width`` pixels wide."""
        real = unwrap(widget)
        if not real.isVisible():
            real.show()
        if real.isWindow():
            size = real.sizeHint()
            real.resize(max(width, size.width()), max(real.height() if real.layout() is None else 0, size.height()))
        self.process_events(50)
        return _save(real.grab(), path)

    def render_slice(self, path: str | Path, volume: Any, segmentation: Any = None, **settings: Any) -> Path:
        """A PNG of a slice view; settings as :func:`slicerhost.views.render_slice` has them."""
        return _write_picture(views.render_slice(self.core, volume, segmentation, **settings), path)

    def render_3d(self, path: str | Path, segmentation: Any = None, **settings: Any) -> Path:
        """A PNG of a 3D view; settings as :func:`slicerhost.views.render_3d` has them."""
        return _write_picture(views.render_3d(self.core, segmentation, **settings), path)

    @property
    def restarts(self) -> int:
        """How often the application was asked to restart."""
        return self._real_app._restarts


def _write_picture(rgb: np.ndarray, path: str | Path) -> Path:
    """Write an RGB array [height, width, 3]."""
    height, width, _channels = rgb.shape
    return _save(QtGui.QImage(rgb.tobytes(), width, height, 3 * width, QtGui.QImage.Format_RGB888), path)


def _save(picture: QtGui.QImage | QtGui.QPixmap, path: str | Path) -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not picture.save(str(path), "PNG"):
        raise RuntimeError(f"The picture could not be written to {path}")
    return path
