"""What measures: each figure of the documentation that was trained here has a command in this folder."""
