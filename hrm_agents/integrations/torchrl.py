"""HRM in TorchRL (``pip install "hrm-agents[torchrl]"``), as a recurrent module.

Use :class:`HRMModule` like TorchRL's ``LSTMModule``: it is part of a policy, a primer adds its states to the
environment, and under ``set_recurrent_mode`` it replays sequences.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from gymnasium import spaces
from tensordict import TensorDictBase, unravel_key_list
from tensordict.nn import TensorDictModuleBase
from tensordict.utils import NestedKey
from torch import Tensor
from torchrl.data import Unbounded
from torchrl.envs.transforms import TensorDictPrimer
from torchrl.modules import recurrent_mode

from hrm_agents.integrations.spaces import SpaceReader, read_space
from hrm_agents.models.architecture import Architecture
from hrm_agents.models.encoder import HRMEncoder, Readout, architecture_for
from hrm_agents.models.hrm import HRM
from hrm_agents.models.limits import check_setting
from hrm_agents.models.recursion import Carry

__all__ = ["HRMModule"]

#: Set by TorchRL's InitTracker at the first step of every episode.
_IS_INIT = "is_init"


class HRMModule(TensorDictModuleBase):
    """An HRM that keeps its carry from step to step.

    It reads the observation, the states of planner and worker, and ``is_init``; it writes its outputs and, under
    ``"next"``, the new states. The environment needs TorchRL's ``InitTracker`` and :meth:`make_tensordict_primer`. Make
    vector environments with ``autoreset_mode="Disabled"``: with ``"SameStep"``, TorchRL 0.14 replaces the last
    observation of an episode by zeros if observations are dictionaries.

    **By default** (in collectors) every row of the batch is one step. It starts from its states, or from the initial
    states where ``is_init`` is set.

    **In recurrent mode** the last dimension of the batch is time. A row starts from the states stored with its first
    step and continues with states computed from the present weights; where ``is_init`` is set, it starts from the
    states stored there, as TorchRL's recurrent modules do. Without stored states it starts from the initial states.
    Losses set this mode themselves; set it for ``GAE``, with ``deactivate_vmap=True`` since attention does not support
    vmap on CPUs. Shuffled single steps need a time dimension of length 1: ``unsqueeze(-1)``.

    States of zeros, with which primers start, stand for the initial states; no segment results in zeros.

    By default no gradient crosses from one step to the previous one, as between the segments of HRM. What a step leaves
    in the states for later ones is then not learned. Use ``bptt=None`` for tasks that need a memory, as an LSTM does.
    The activations of whole sequences stay in memory until the backward pass in any case.

    Args:
        model: an encoder, for features; or an HRM, for an answer and Q-values.
        reader: converts observations to the parts of an encoder; they are unchanged if omitted.
        segments: number of segments per step; 1 for an HRM.
        bptt: number of consecutive steps of a sequence that a gradient covers in recurrent mode, None for all; 1 for an
            HRM. Otherwise than with 1, all segments of a step have a gradient.
        in_keys: keys of the observation, in the order of the encoder's parts, whose names are the default. For an HRM
            ``["puzzle"]``, and ``"task_id"`` if it has task embeddings.
        out_keys: ``["features"]``, float32 [B, ``features_dim``]; for an HRM ``["logits", "q_halt", "q_continue"]``,
            float32 [B, S, V], [B] and [B].
        state_keys: keys of the states of planner and worker, each [B, slots, d].
        default_recurrent_mode: the mode unless ``set_recurrent_mode`` is used.

    Raises:
        ValueError: the number of keys or segments does not fit the model, or a segment cuts the gradient (see
            :meth:`HRMEncoder.check_bptt`).
    """

    def __init__(
        self,
        model: HRMEncoder | HRM,
        reader: SpaceReader | None = None,
        *,
        segments: int = 1,
        bptt: int | None = 1,
        in_keys: Sequence[NestedKey] | None = None,
        out_keys: Sequence[NestedKey] | None = None,
        state_keys: Sequence[NestedKey] = ("z_H", "z_L"),
        default_recurrent_mode: bool = False,
    ) -> None:
        super().__init__()
        check_setting("segments", segments)
        whole = isinstance(model, HRM)
        if isinstance(model, HRMEncoder):
            model.check_bptt(bptt)
        else:
            for name, value in (("segments", segments), ("bptt", bptt)):
                if value != 1:
                    raise ValueError(f"{name} must be 1 for an HRM, got {value}")
            if reader is not None:
                raise ValueError("an HRM reads puzzles directly: omit reader")
        self.model = model
        self.reader = reader
        self.segments = segments
        self.bptt = bptt
        self._parts = _part_names(model)
        self._observation_keys = _keys("in_keys", in_keys or self._parts, len(self._parts))
        self._state_keys = _keys("state_keys", state_keys, 2)
        outputs = ["logits", "q_halt", "q_continue"] if whole else ["features"]
        self._output_keys = _keys("out_keys", out_keys or outputs, len(outputs))
        self._next_keys = [("next", *key) if isinstance(key, tuple) else ("next", key) for key in self._state_keys]
        self._default_recurrent_mode = default_recurrent_mode
        self.in_keys = [*self._observation_keys, *self._state_keys, _IS_INIT]
        self.out_keys = [*self._output_keys, *self._next_keys]

    @classmethod
    def for_space(
        cls,
        space: spaces.Space[Any],
        architecture: Architecture | None = None,
        *,
        bptt: int | None = 1,
        readout: Readout = "slot",
        space_options: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> HRMModule:
        """Make a module with a new encoder for a Gymnasium observation space.

        Discrete spaces are read as integers: wrap the environment with ``categorical_action_encoding=True``.

        Args:
            space: ``env.observation_space``, or ``single_observation_space`` of a vector environment.
            architecture: width, depth and wiring; if omitted, the defaults of :class:`Architecture`, and with a
                gradient across steps those of :data:`~hrm_agents.models.encoder.MEMORY` (one H cycle).
            bptt: of the class.
            readout: slots of the planner's state that become features, see :class:`HRMEncoder`.
            space_options: keywords of :func:`~hrm_agents.integrations.spaces.read_space`, such as ``patch``.
            kwargs: others of the class.

        Raises:
            ValueError: the space is not supported, or a keyword is out of bounds.
        """
        reader = read_space(space, **(space_options or {}))
        encoder = HRMEncoder(architecture or architecture_for(bptt), reader.parts, readout=readout)
        return cls(encoder, reader, bptt=bptt, **kwargs)

    @property
    def recurrent_mode(self) -> bool:
        """Whether the last dimension of a batch is time."""
        mode = recurrent_mode()
        return self._default_recurrent_mode if mode is None else mode

    def make_tensordict_primer(self) -> TensorDictPrimer:
        """Make the transform that adds the states to an environment, as zeros at the start of episodes."""
        model = self.model
        spec = Unbounded((model.num_slots, model.config.hidden_size), dtype=model.dtype)
        return TensorDictPrimer({key: spec.clone() for key in self._state_keys}, expand_specs=True)

    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Write the outputs and the new states to ``tensordict``.

        Raises:
            ValueError: a key is missing, or the batch has no time dimension in recurrent mode.
        """
        recurrent, shape = self.recurrent_mode, tensordict.shape
        if recurrent and not shape:
            raise ValueError("in recurrent mode the last dimension of the batch is time; this batch has no dimension")
        steps = shape[-1] if recurrent else 1
        is_init = self._get(tensordict, _IS_INIT).reshape(-1, steps)
        stored = self._stored(tensordict, steps, needed=not recurrent)
        observations = self._observations(tensordict, len(is_init), steps)

        carries, outputs = [], []
        initial = carry = self.model.initial_carry(len(is_init))
        for time in range(steps):
            begins = is_init[:, time]
            begin = initial if stored is None else self._primed(Carry(stored.z_H[:, time], stored.z_L[:, time]))
            carry = begin if time == 0 else Carry(*map(torch.where, [begins[:, None, None]] * 2, begin, carry))
            if not recurrent:
                carry = self.model.reset_carry(carry, begins)
            carry = carry.truncate(time, self.bptt)
            carry, output = self._run({name: part[time] for name, part in observations.items()}, carry)
            carries.append(carry.detach())
            outputs.append(output)

        found = [*zip(*outputs, strict=True), *zip(*carries, strict=True)]
        for key, values in zip(self.out_keys, found, strict=True):
            value = torch.stack(values, 1)
            tensordict.set(key, value.reshape((*shape, *value.shape[2:])))
        return tensordict

    def _get(self, tensordict: TensorDictBase, key: NestedKey) -> Tensor:
        value = tensordict.get(key, None)
        if value is None:
            hint = ""
            if key == _IS_INIT:
                hint = "; put torchrl.envs.InitTracker() around the environment"
            elif key in self._state_keys:
                hint = "; append the module's make_tensordict_primer() to the environment"
            raise ValueError(f"the tensordict lacks {key!r}{hint}")
        return value

    def _stored(self, tensordict: TensorDictBase, steps: int, needed: bool) -> Carry | None:
        """The stored states, each [B, steps, slots, d]."""
        if not needed and all(tensordict.get(key, None) is None for key in self._state_keys):
            return None
        states = (self._get(tensordict, key).to(self.model.dtype) for key in self._state_keys)
        return Carry(*(state.reshape(-1, steps, *state.shape[-2:]) for state in states))

    def _primed(self, stored: Carry) -> Carry:
        """Replace states of zeros by the initial states."""
        return self.model.reset_carry(stored, (stored.z_H == 0).flatten(1).all(1))

    def _observations(self, tensordict: TensorDictBase, rows: int, steps: int) -> dict[str, Tensor]:
        """Parts by name, each [steps, B, width]; every step is contiguous, as when it is processed alone."""
        ndim = tensordict.ndim
        parts: dict[str, Tensor] = {}
        for name, key in zip(self._parts, self._observation_keys, strict=True):
            value = self._get(tensordict, key)
            parts[name] = value.reshape(rows * steps, *value.shape[ndim:])
        if self.reader is not None:
            parts = self.reader(parts)
        return {
            name: part.reshape(rows, steps, *part.shape[1:]).transpose(0, 1).contiguous()
            for name, part in parts.items()
        }

    def _run(self, parts: dict[str, Tensor], carry: Carry) -> tuple[Carry, tuple[Tensor, ...]]:
        if isinstance(self.model, HRM):
            task_id = parts.get("task_id")
            carry, output = self.model(carry, parts["puzzle"], None if task_id is None else task_id.reshape(-1))
            return carry, (output.logits, output.q_halt, output.q_continue)
        carry, features = self.model(parts, carry, segments=self.segments, detach=self.bptt == 1)
        return carry, (features,)


def _part_names(model: HRMEncoder | HRM) -> list[str]:
    if isinstance(model, HRMEncoder):
        return list(model.parts)
    return ["puzzle"] if model.config.num_task_ids == 1 else ["puzzle", "task_id"]


def _keys(name: str, keys: Sequence[NestedKey], count: int) -> list[NestedKey]:
    """Convert ``keys`` to TorchRL's form.

    Raises:
        ValueError: they are not ``count`` different keys.
    """
    found = unravel_key_list(list(keys))
    if len(found) != count or len(set(found)) != count:
        raise ValueError(f"{name}={found}: expected {count} different key(s)")
    return found
