"""Mazes walked move by move: an environment of its own, for generic reinforcement learning."""
