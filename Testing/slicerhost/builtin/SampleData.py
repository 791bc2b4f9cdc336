"""The module "Sample Data": keeps what modules register, so that a test can look at it. Nothing is downloaded."""

from dataclasses import dataclass, field

import slicer
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleWidget,
)


class SampleData(ScriptedLoadableModule):
    def __init__(self, parent):
        super().__init__(parent)
        parent.title = "Sample Data"


class SampleDataWidget(ScriptedLoadableModuleWidget):
    pass


@dataclass
class SampleDataSource:
    """One registered data set, under the names of the original's attributes."""

    sampleName: str = ""
    sampleDescription: str = ""
    uris: list = field(default_factory=list)
    fileNames: list = field(default_factory=list)
    nodeNames: list = field(default_factory=list)
    checksums: list = field(default_factory=list)
    loadFiles: list = field(default_factory=list)
    customDownloader: object = None
    thumbnailFileName: str = ""
    loadFileTypes: list = field(default_factory=list)
    loadFileProperties: dict = field(default_factory=dict)


class SampleDataLogic(ScriptedLoadableModuleLogic):
    @staticmethod
    def registerCustomSampleDataSource(
        category="Custom",
        sampleName=None,
        uris=None,
        fileNames=None,
        nodeNames=None,
        customDownloader=None,
        thumbnailFileName=None,
        loadFileType=None,
        loadFiles=None,
        loadFileProperties=None,
        checksums=None,
        loadFileTypes=None,
        sampleDescription=None,
    ):
        def listed(value):
            return list(value) if isinstance(value, (list, tuple)) else [] if value is None else [value]

        source = SampleDataSource(
            sampleName,
            sampleDescription or "",
            listed(uris),
            listed(fileNames),
            listed(nodeNames),
            listed(checksums),
            listed(loadFiles),
            customDownloader,
            thumbnailFileName or "",
            listed(loadFileTypes or loadFileType),
            loadFileProperties or {},
        )
        known = slicer.modules.sampleDataSources.setdefault(category, [])
        known[:] = [other for other in known if other.sampleName != sampleName] + [source]

    def sourceForSampleName(self, sampleName):
        for sources in slicer.modules.sampleDataSources.values():
            for source in sources:
                if source.sampleName == sampleName:
                    return source
        return None


if not hasattr(slicer.modules, "sampleDataSources"):
    slicer.modules.sampleDataSources = {}
