"""Evaluation of a policy: thinking to the halt or the end, repeated tries, and how well it halts."""
