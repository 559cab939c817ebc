"""Figures for people to look at: the halting report and the frontier as pictures."""
