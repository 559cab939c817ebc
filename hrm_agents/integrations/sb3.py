"""HRM in Stable-Baselines3 (``pip install "hrm-agents[sb3]"``), as features extractor or recurrent policy.

* :class:`HRMFeaturesExtractor` starts from a fresh carry at each observation, for any algorithm.
* :class:`RecurrentHRMPolicy` keeps its carry from step to step, for ``RecurrentPPO`` of sb3-contrib.
* :class:`ReasoningVecEnv` converts a Gymnasium vector environment to a ``VecEnv``.

:mod:`hrm_agents.integrations.sb3_walker` has a faster extractor for agents that move on a board.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from gymnasium import spaces
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from hrm_agents.integrations.sb3_vec_env import ReasoningVecEnv
from hrm_agents.integrations.spaces import ONLY_PART, parts_of, read_space
from hrm_agents.models.architecture import Architecture
from hrm_agents.models.encoder import HRMEncoder, Readout, TokenPart, architecture_for, readout_size
from hrm_agents.models.limits import check_choice, check_setting
from hrm_agents.models.recursion import Carry

__all__ = ["HRMFeaturesExtractor", "ReasoningVecEnv", "RecurrentHRMPolicy"]


class HRMFeaturesExtractor(BaseFeaturesExtractor):
    """Features of an observation, after a few segments from a fresh carry.

    Pass it as ``policy_kwargs={"features_extractor_class": HRMFeaturesExtractor, "features_extractor_kwargs": {...}}``
    with ``MlpPolicy`` or ``MultiInputPolicy``.

    Args:
        observation_space: set by Stable-Baselines3.
        architecture: width, depth and wiring; the defaults of :class:`Architecture` if omitted.
        segments: number of segments per observation; the last has a gradient.
        readout: slots of the planner's state that become features, see :class:`HRMEncoder`.
        normalize_images: as for the policy, whether Stable-Baselines3 divides uint8 images by 255.
        space_options: keywords of :func:`~hrm_agents.integrations.spaces.read_space`, such as ``patch``.

    Raises:
        ValueError: the space is not supported, or a keyword is out of bounds.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        *,
        architecture: Architecture | None = None,
        segments: int = 2,
        readout: Readout = "slot",
        normalize_images: bool = True,
        space_options: Mapping[str, Any] | None = None,
    ) -> None:
        check_setting("segments", segments)
        reader = Preprocessed(observation_space, normalize_images, space_options or {})
        encoder = HRMEncoder(architecture or Architecture(), reader.parts, readout=readout)
        super().__init__(observation_space, encoder.features_dim)
        self.segments, self.reader, self.encoder = segments, reader, encoder

    def forward(self, observations: Any) -> Tensor:
        """Features float32 [B, ``features_dim``] of preprocessed observations."""
        return self.encoder.encode(self.reader(observations), self.segments)


class RecurrentHRMPolicy(RecurrentActorCriticPolicy):
    """A policy for ``RecurrentPPO`` that keeps its carry during an episode.

    The carry replaces the states of an LSTM. RecurrentPPO starts episodes with states of zero, and HRM with fixed
    vectors, so the states are the difference of the carry from these vectors. Training replays sequences of steps in
    order, each from the carry stored at its start. A sequence ends where its episode, its rollout or its minibatch
    does, so a gradient cannot cross more than ``n_steps`` steps. RecurrentPPO stores 16 bytes per number of the carry,
    for every step of every row: 84 kB with 81 cells of 64 numbers.

    By default no gradient crosses from one step to the previous one, as between the segments of HRM. What a step leaves
    in the carry for later ones is then not learned. Use ``bptt=None`` for tasks that need a memory, as an LSTM does.

    Args:
        observation_space, action_space, lr_schedule: set by RecurrentPPO.
        architecture: width, depth and wiring; if omitted, the defaults of :class:`Architecture`, and with a gradient
            across steps those of :data:`~hrm_agents.models.encoder.MEMORY` (one H cycle).
        segments: number of segments per environment step.
        bptt: number of consecutive steps of a sequence that a gradient covers, None for all. Otherwise than with 1, all
            segments of a step have a gradient; a step needs as much memory as its segments.
        readout: slots of the planner's state that the policy sees, see :class:`HRMEncoder`.
        critic: ``"own"`` makes a second HRM for the value; ``"shared"`` uses the features of the policy without their
            gradient, at half the cost.
        space_options: keywords of :func:`~hrm_agents.integrations.spaces.read_space`, such as ``patch``.
        **kwargs: of ``ActorCriticPolicy``, such as ``net_arch``, ``activation_fn`` and ``optimizer_class``.

    Raises:
        ValueError: the space is not supported, or a keyword is out of bounds.
    """

    lstm_actor: Any
    lstm_critic: Any

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        lr_schedule: Any,
        *,
        architecture: Architecture | None = None,
        segments: int = 1,
        bptt: int | None = 1,
        readout: Readout = "slot",
        critic: Literal["own", "shared"] = "own",
        space_options: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        taken = ("features_extractor", "share_features", "lstm", "n_lstm", "shared_lstm", "enable_critic_lstm")
        clash = next((name for name in kwargs if name.startswith(taken)), None)
        if clash is not None:
            raise ValueError(f"{clash} belongs to LSTM policies; use architecture, segments, bptt, readout and critic")
        check_choice("critic", critic, ("own", "shared"))
        check_setting("segments", segments)
        architecture = architecture or architecture_for(bptt)
        options = dict(space_options or {})
        self._hrm_kwargs = {
            "architecture": architecture,
            "segments": segments,
            "bptt": bptt,
            "readout": readout,
            "critic": critic,
            "space_options": options,
        }
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            features_extractor_class=_FlatParts,
            features_extractor_kwargs={
                "normalize_images": bool(kwargs.get("normalize_images", True)),
                "options": options,
            },
            # Size of the input of the heads. The LSTMs are replaced below.
            lstm_hidden_size=readout_size(architecture.hidden_size, readout),
            shared_lstm=critic == "shared",
            enable_critic_lstm=critic == "own",
            **kwargs,
        )

        extractor: Any = self.features_extractor

        def cell() -> _CarryCell:
            return _CarryCell(HRMEncoder(architecture, extractor.reader.parts, readout=readout), segments, bptt)

        self.lstm_actor = cell()
        if critic == "own":
            self.lstm_critic = cell()
        self.lstm_hidden_state_shape = (1, 1, self.lstm_actor.hidden_size)
        optimizer_class: Any = self.optimizer_class
        self.optimizer = optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)

    @staticmethod
    def _process_sequence(
        features: Tensor, lstm_states: tuple[Tensor, Tensor], episode_starts: Tensor, lstm: Any
    ) -> Any:
        """Process whole sequences, also those that begin with an episode, so that the cell counts their steps.

        Args:
            features: [N * L, ``input_size``], row by row.
            lstm_states: two states [1, N, ``hidden_size``].
            episode_starts: float [N * L], 1 at the first steps of episodes.
            lstm: the carry cell.

        Returns:
            Outputs [N * L, ``features_dim``] and the states after the last step.
        """
        num_rows = lstm_states[0].shape[1]
        sequence = features.reshape(num_rows, -1, lstm.input_size).swapaxes(0, 1)
        output, states = lstm(sequence, lstm_states, episode_starts.reshape(num_rows, -1).swapaxes(0, 1))
        return output.swapaxes(0, 1).flatten(0, 1), states

    def _get_constructor_parameters(self) -> dict[str, Any]:
        data = super()._get_constructor_parameters()
        for name in ("features_extractor_class", "features_extractor_kwargs"):
            del data[name]
        return {**data, **self._hrm_kwargs}


class Preprocessed(nn.Module):
    """Reads observations preprocessed by Stable-Baselines3, which are one-hot, scaled or converted to floats."""

    def __init__(self, space: spaces.Space[Any], normalize_images: bool, options: Mapping[str, Any]) -> None:
        super().__init__()
        self.spaces = {
            # With the test that Stable-Baselines3 uses.
            name: spaces.Box(0.0, 1.0, part.shape, np.float32) if normalize_images and is_image_space(part) else part
            for name, part in parts_of(space).items()
        }
        self.read = read_space(spaces.Dict(self.spaces), **options)
        self.parts = self.read.parts

    def forward(self, obs: Any) -> dict[str, Tensor]:
        """Convert a batch of preprocessed observations to its parts by name, each [B, width]."""
        obs = obs if isinstance(obs, Mapping) else {ONLY_PART: obs}
        found: dict[str, Tensor] = self.read({name: _undo(part, obs[name]) for name, part in self.spaces.items()})
        return found


def _undo(space: spaces.Space[Any], values: Tensor) -> Tensor:
    """Values of ``space`` from preprocessed ones."""
    if isinstance(space, spaces.Discrete):
        return values.reshape(values.shape[0], -1, int(space.n))[:, 0].argmax(-1)
    if isinstance(space, spaces.MultiDiscrete):
        return torch.stack([one.argmax(-1) for one in values.split(space.nvec.tolist(), dim=1)], dim=1)
    if isinstance(space, spaces.Box) and space.dtype is not None and space.dtype.kind in "iu":
        # RecurrentPPO pads short sequences with zeros, which may be outside the space; their loss is masked.
        return values.clamp(float(space.low.min()), float(space.high.max()))
    return values


class _FlatParts(BaseFeaturesExtractor):
    """Concatenates all parts of an observation as floats, which represent tokens exactly: input of a carry cell."""

    def __init__(
        self, observation_space: spaces.Space[Any], normalize_images: bool, options: Mapping[str, Any]
    ) -> None:
        reader = Preprocessed(observation_space, normalize_images, options)
        super().__init__(observation_space, sum(part.width for part in reader.parts.values()))
        self.reader = reader

    def forward(self, observations: Any) -> Tensor:
        return torch.cat([values.float() for values in self.reader(observations).values()], dim=1)


class _CarryCell(nn.Module):
    """An encoder with the interface of ``nn.LSTM``: z_H is the hidden state, z_L the cell state."""

    num_layers = 1

    def __init__(self, encoder: HRMEncoder, segments: int, bptt: int | None) -> None:
        super().__init__()
        encoder.check_bptt(bptt)
        self.encoder = encoder
        self.segments = segments
        self.bptt = bptt
        self.input_size = sum(part.width for part in encoder.parts.values())
        self.hidden_size = encoder.num_slots * encoder.config.hidden_size

    def forward(
        self, sequence: Tensor, states: tuple[Tensor, Tensor], begins: Tensor
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Process ``sequence`` [L, N, ``input_size``] from two ``states`` [1, N, ``hidden_size``].

        Args:
            sequence: observations as floats.
            states: differences of z_H and z_L from their initial values.
            begins: float [L, N], 1 where an episode begins and 0 elsewhere.

        Returns:
            Features [L, N, ``features_dim``] and the states after the last step.
        """
        initial = self.encoder.initial_carry(sequence.shape[1])
        features = []
        for step, (rows, begin) in enumerate(zip(sequence, begins, strict=True)):
            keep = (1.0 - begin)[None, :, None]
            # Converted in every step, as in collection, where every step is a call: the rounding is then the same.
            carry = Carry(*(self._plus(keep * state, init) for state, init in zip(states, initial, strict=True)))
            carry = carry.truncate(step, self.bptt)
            carry, seen = self.encoder(self._parts(rows), carry, segments=self.segments, detach=self.bptt == 1)
            new = [(z.float() - init.float()).flatten(1)[None] for z, init in zip(carry, initial, strict=True)]
            states = (new[0], new[1])
            features.append(seen)
        return torch.stack(features), states

    @staticmethod
    def _plus(state: Tensor, init: Tensor) -> Tensor:
        return (state[0].view(init.shape) + init.float()).to(init.dtype)

    def _parts(self, rows: Tensor) -> dict[str, Tensor]:
        parts = self.encoder.parts
        split = rows.split([part.width for part in parts.values()], dim=1)
        return {
            name: values.long() if isinstance(part, TokenPart) else values
            for (name, part), values in zip(parts.items(), split, strict=True)
        }
