"""ARC-AGI: tasks, augmentations, judging, voting and pictures."""

from hrm_envs.arc.task import ARCTask

__all__ = ["ARCTask"]
