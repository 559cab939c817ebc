"""Wrappers for generic reinforcement learning, which change actions and observations but not the puzzles.

Each wrapper has a version for the vector environment, with ``Vector`` in its name.
"""

from hrm_envs.moves.env import MazeMoves
from hrm_envs.moves.vector_env import MazeMovesVector
from hrm_envs.wrappers.arc_drafts import ArcAction
from hrm_envs.wrappers.arc_editor import ArcEditor, ArcEditorVector
from hrm_envs.wrappers.cell_edit import CellEdit, CellEditVector
from hrm_envs.wrappers.flat import FlattenAnswer, FlattenAnswerVector
from hrm_envs.wrappers.halt_only import HaltOnly, HaltOnlyVector, Thinker
from hrm_envs.wrappers.masks import MaskInObs, MaskInObsVector
from hrm_envs.wrappers.solution import SolutionInObs, SolutionInObsVector

__all__ = [
    "ArcAction",
    "ArcEditor",
    "ArcEditorVector",
    "CellEdit",
    "CellEditVector",
    "FlattenAnswer",
    "FlattenAnswerVector",
    "HaltOnly",
    "HaltOnlyVector",
    "MaskInObs",
    "MaskInObsVector",
    "MazeMoves",
    "MazeMovesVector",
    "SolutionInObs",
    "SolutionInObsVector",
    "Thinker",
]
