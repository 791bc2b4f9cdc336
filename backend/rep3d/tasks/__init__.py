"""Tasks: what is segmented, on which grid, with which window. One YAML file a task; ``tasks.py`` reads them."""

from rep3d.tasks.intensity import INTENSITY_PRESETS, Intensity
from rep3d.tasks.splits import split_cases
from rep3d.tasks.tasks import Code, Label, Task, list_tasks, load_task

__all__ = ["INTENSITY_PRESETS", "Code", "Intensity", "Label", "Task", "list_tasks", "load_task", "split_cases"]
