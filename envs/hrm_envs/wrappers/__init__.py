"""Views of the environments for generic reinforcement learning: other actions and observations, the same puzzles.

Each comes as a wrapper of the single environment and, with ``Vector`` in its name, of the vector environment.
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
