"""ARC-AGI: tasks, augmentations, verification, voting and rendering."""

from hrm_envs.arc.task import ARCTask

__all__ = ["ARCTask"]
