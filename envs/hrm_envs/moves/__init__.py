"""Environments in which an agent walks through a maze move by move, for generic reinforcement learning."""
