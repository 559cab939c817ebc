"""What a run leaves on disk: files written whole or not at all, and one owner for each folder."""
