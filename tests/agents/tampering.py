"""Changing checkpoints on purpose, as somebody would who means to: with checksums that are right again."""

import hashlib
import json

from hrm_agents.records.checkpoint import CONFIG, MODEL, STATE, load, load_state, read_config, save_run


def sign(folder):
    """Let the config vouch for the files of a checkpoint as they are."""
    files = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in (MODEL, STATE)
        if (folder / name).exists()
    }
    edit(folder, lambda config: config.update(files=files))


def edit(folder, change):
    """Change the config of a checkpoint in place."""
    config = json.loads((folder / CONFIG).read_text())
    change(config)
    (folder / CONFIG).write_text(json.dumps(config))


def resave(folder, change_tensors=lambda tensors: None, **changes):
    """Change the training state of a run: tensors in place, entries of its document by keyword."""
    tensors, document = load_state(folder)
    change_tensors(tensors)
    save_run(folder, load(folder).model.state_dict(), read_config(folder), tensors, {**document, **changes})
