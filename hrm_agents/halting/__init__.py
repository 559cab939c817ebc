"""When to stop thinking: rules, exploration, and the targets that the Q-head learns. Pure functions."""
