"""A training state is checked field by field before any of it is used: whatever is in the file, one clear line."""

import copy
import itertools
import math

import pytest
import torch

import hrm_agents.trainer as trainer_module
from hrm_agents.errors import UserError
from hrm_agents.records.checkpoint import load_state
from hrm_agents.records.resume import KEYS
from hrm_agents.trainer import Trainer

JUNK = [None, -1, 1e308, 2**70, True, "x", [], [1], {}, {"a": 1}, math.pi]


WAYS = ["second-forward", "one-pass", "returns", "policy"]


@pytest.fixture(scope="module")
def saved(request, tiny_config, tmp_path_factory):
    """A run with one of the ways of learning to halt; only ``algorithm/halting`` of its state depends on the way."""
    folder = tmp_path_factory.mktemp("saved")
    policy = request.param == "policy"
    halting = {"rule": "policy"} if policy else {"target": request.param, "target_decay": 0.9}
    trainer = Trainer(tiny_config(run={"updates": 6}, halting=halting), folder)
    for _ in range(3):
        trainer.update()
    trainer.save()
    trainer.log.close()
    return folder


@pytest.fixture
def refused(saved, monkeypatch):
    """Gives the one line that resuming from changed tensors and a changed document ends in; None if it goes on."""
    tensors, document = load_state(saved)

    def refused(change=lambda all: None, **changes):
        changed = {name: tensor.clone() for name, tensor in tensors.items()}
        change(changed)
        state = (changed, {**copy.deepcopy(document), **changes})
        monkeypatch.setattr(trainer_module, "load_state", lambda folder: state)
        try:
            Trainer.resume(saved, log=object())
        except UserError as error:
            line = str(error)
            return line if len(line) < 600 and "\n" not in line else pytest.fail(f"not one short line: {line}")
        return None

    refused.tensors, refused.document = tensors, document
    return refused


one_way = pytest.mark.parametrize("saved", WAYS[:1], indirect=True)
all_ways = pytest.mark.parametrize("saved", WAYS, indirect=True)


@all_ways
def test_the_state_as_it_is_resumes(refused):
    assert refused() is None


@one_way
def test_every_entry_of_the_document_is_checked(refused):
    for key, junk in itertools.product(KEYS, JUNK):
        if junk != refused.document[key]:
            assert refused(**{key: junk}) is not None, (key, junk)


def plain_values(document, path=()):
    """Paths to everything in a document that is no object."""
    for name, value in document.items():
        yield from plain_values(value, (*path, name)) if isinstance(value, dict) else [(*path, name)]


def with_junk(document, path, junk):
    """The document with something else at a path; None if it was that already."""
    changed = copy.deepcopy(document)
    place = changed
    for name in path[:-1]:
        place = place[name]
    if place[path[-1]] == junk and type(place[path[-1]]) is type(junk):
        return None
    place[path[-1]] = junk
    return changed


@one_way
@pytest.mark.parametrize("part", ["algorithm", "rollout", "monitor"])
def test_every_number_within_the_document_is_checked(refused, part):
    accepted = set()
    for path, junk in itertools.product(plain_values(refused.document[part]), JUNK):
        changed = with_junk(refused.document[part], path, junk)
        if changed is not None and refused(**{part: changed}) is None:
            accepted.add(path[-1])
    # Any finite number may have been the first loss. The others are states that random numbers can have.
    assert accepted <= {"first_loss", "has_uint32", "uinteger", "state", "inc"}


@all_ways
def test_every_tensor_is_checked(refused, request):
    everything = request.node.callspec.params["saved"] == WAYS[0]
    tensors = {name: t for name, t in refused.tensors.items() if everything or name.startswith("algorithm/halting/")}
    assert tensors
    accepted = []
    for name, tensor in tensors.items():
        other = torch.float64 if tensor.dtype != torch.float64 else torch.int64
        changes = {
            "gone": lambda all, name=name: all.pop(name),
            "longer": lambda all, name=name: all.update({name: torch.cat([all[name].reshape(-1)] * 2)}),
            "of another type": lambda all, name=name, other=other: all.update({name: all[name].to(other)}),
        }
        if tensor.is_floating_point():
            changes["not finite"] = lambda all, name=name: all[name].fill_(math.inf)
        elif tensor.dtype != torch.bool and name.split("/")[-1] not in ("keys", "episodes", "done"):
            # Any key and any number of episodes could be that of a stream.
            changes["0xff"] = lambda all, name=name: all[name].view(torch.uint8).fill_(255)
        accepted += [(name, kind) for kind, change in changes.items() if refused(change) is None]
    # Activations may have the type of another device.
    assert {kind for _, kind in accepted} <= {"of another type"}
    assert all(name.startswith(("rollout/carry/", "algorithm/halting/")) for name, _ in accepted)


@one_way
@pytest.mark.parametrize(
    "place",
    ["algorithm/model/more", "algorithm/halting/more", "algorithm/optimizers/0/state/more/m", "rollout/more", "more"],
)
def test_a_tensor_too_many_is_noticed(refused, place):
    assert "more" in refused(lambda all: all.update({place: torch.zeros(1)}))
