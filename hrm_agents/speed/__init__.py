"""How fast environments, training and solving are on this machine, and what training would take on others."""
