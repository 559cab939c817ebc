"""What happens inside a network that thinks in segments: residuals, dimension, trajectories, answers, attention."""
