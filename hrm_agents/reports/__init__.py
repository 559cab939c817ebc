"""Charts of evaluations, and the report on the frontier of halting."""
