"""One painter: pictures of an agent at a puzzle as pixels, as text and in a window."""
