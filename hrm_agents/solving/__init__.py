"""Using a trained model: load it, solve puzzles, record episodes."""
