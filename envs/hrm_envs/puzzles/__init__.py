"""Sources of puzzles: pools of generated ones, the user's own files, and published data sets."""
