"""A trained model at work: load it, solve puzzles with it, record it."""
