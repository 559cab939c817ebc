"""Rendering of episodes as images, as text and in a window."""
