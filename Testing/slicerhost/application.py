"""``slicer.app``: the application object with its settings, scene, module manager and layout."""

from __future__ import annotations

import platform
import tempfile
from pathlib import Path
from typing import Any

from PyQt5 import QtCore, QtWidgets

from .iomanager import qSlicerCoreIOManager
from .layout import qSlicerLayoutManager
from .mainwindow import qSlicerMainWindow
from .modules import qSlicerModuleManager
from .widgets.base import computed, stored

_DOCUMENTATION = "https://slicer.readthedocs.io/en/5.12/"


class qSlicerCommandOptions(QtCore.QObject):
    """Options of the command line; nothing was given."""

    runPythonAndExit, setRunPythonAndExit = stored(bool, "runPythonAndExit", False)
    isTestingEnabled, setTestingEnabled = stored(bool, "isTestingEnabled", False)
    noMainWindow, setNoMainWindow = stored(bool, "noMainWindow", False)


class qSlicerApplication(QtWidgets.QApplication):
    """The application on a running core; settings live in a temporary file."""

    vtk_signals = ("mrmlSceneChanged(vtkMRMLScene*)",)
    mrmlSceneChanged = QtCore.pyqtSignal(object)
    startupCompleted = QtCore.pyqtSignal()

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="slicerhost-")
        QtCore.QSettings.setDefaultFormat(QtCore.QSettings.IniFormat)
        for scope in (QtCore.QSettings.UserScope, QtCore.QSettings.SystemScope):
            QtCore.QSettings.setPath(QtCore.QSettings.IniFormat, scope, self._folder.name)
        super().__init__(["Slicer"])
        self.setOrganizationName("slicer.org")
        self.setApplicationName("Slicer")
        self.setApplicationVersion("5.12.0")
        self.setQuitOnLastWindowClosed(False)
        self._settings = QtCore.QSettings()
        self._testing = False
        self._core: Any = None
        self._paused = 0
        self._restarts = 0

    def _start(self, core: Any) -> None:
        """Join the application and a core; to be called once ``slicer.modules`` exists."""
        self._core = core
        self._options = qSlicerCommandOptions(self)
        self._modules = qSlicerModuleManager()
        self._io = qSlicerCoreIOManager(core)
        self._layout = qSlicerLayoutManager(core)
        self._modules._load_logics(core.logics)
        self._window = qSlicerMainWindow(self._modules)

    # The core

    def mrmlScene(self) -> Any:
        return self._core.scene

    def applicationLogic(self) -> Any:
        return self._core.app_logic

    def moduleManager(self) -> qSlicerModuleManager:
        return self._modules

    def coreIOManager(self) -> qSlicerCoreIOManager:
        return self._io

    def ioManager(self) -> qSlicerCoreIOManager:
        return self._io

    def layoutManager(self) -> qSlicerLayoutManager:
        return self._layout

    def commandOptions(self) -> qSlicerCommandOptions:
        return self._options

    # Settings and folders

    def settings(self) -> QtCore.QSettings:
        return self._settings

    def userSettings(self) -> QtCore.QSettings:
        return self._settings

    def revisionUserSettings(self) -> QtCore.QSettings:
        return self._settings

    def startupEnvironment(self) -> QtCore.QProcessEnvironment:
        return QtCore.QProcessEnvironment.systemEnvironment()

    slicerHome = computed(str, lambda self: str(self._core.home))
    temporaryPath = computed(str, lambda self: self._folder.name)
    slicerUserSettingsFilePath = computed(str, lambda self: self._settings.fileName())
    extensionsInstallPath = computed(str, lambda self: str(Path(self._folder.name) / "Extensions"))
    documentationBaseUrl = computed(str, lambda self: _DOCUMENTATION)
    majorVersion = computed(int, lambda self: 5)
    minorVersion = computed(int, lambda self: 12)
    revision = computed(str, lambda self: "0")
    repositoryRevision = computed(str, lambda self: "0")
    platform = computed(str, lambda self: f"{platform.system()}-{platform.machine()}".lower())
    os = computed(str, lambda self: platform.system().lower())
    arch = computed(str, lambda self: platform.machine())
    isInstalled = computed(bool, lambda self: True)
    mainApplicationName = computed(str, lambda self: "Slicer")

    def moduleDocumentationUrl(self, name: str) -> str:
        return f"{_DOCUMENTATION}user_guide/modules/{name.lower()}.html"

    def testingEnabled(self) -> bool:
        return self._testing

    # Rendering and end

    def pauseRender(self) -> None:
        self._paused += 1

    def resumeRender(self) -> None:
        self._paused -= 1

    def restart(self) -> None:
        """Recorded, not done: ``host.restarts`` counts the requests."""
        self._restarts += 1
