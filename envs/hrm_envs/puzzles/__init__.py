"""Where puzzles come from: pools of generated ones, and files of the user's own or of the published data sets."""
