"""Tasks: what is segmented, on which grid, with which window. One YAML file a task; ``store.py`` finds them."""

from rep3d.tasks.intensity import INTENSITY_PRESETS, Intensity
from rep3d.tasks.splits import split_cases
from rep3d.tasks.store import list_shipped, list_tasks, load_task
from rep3d.tasks.tasks import Code, Label, Task

__all__ = [
    "INTENSITY_PRESETS",
    "Code",
    "Intensity",
    "Label",
    "Task",
    "list_shipped",
    "list_tasks",
    "load_task",
    "split_cases",
]
