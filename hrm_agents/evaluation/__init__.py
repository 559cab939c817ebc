"""How well a model does: evaluation, thinking to the halt, several tries, and the report on halting."""
