"""Files of a run: checkpoints, training state and logs, written atomically by one owner per folder."""
