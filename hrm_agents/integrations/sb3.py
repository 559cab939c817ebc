"""HRM in Stable-Baselines3 (``pip install "hrm-agents[sb3]"``): as a features extractor, and with a memory.

* :class:`HRMFeaturesExtractor` thinks a fixed number of segments about each observation, for any algorithm.
* :class:`RecurrentHRMPolicy` goes on thinking from step to step, for ``RecurrentPPO`` of sb3-contrib.
* :class:`ReasoningVecEnv` lets Stable-Baselines3 step a Gymnasium vector environment.

Who walks on a board finds a quicker extractor in :mod:`hrm_agents.integrations.sb3_walker`.
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
from hrm_agents.integrations.spaces import read_space
from hrm_agents.models.architecture import Architecture
from hrm_agents.models.encoder import HRMEncoder, Readout, TokenPart, readout_size
from hrm_agents.models.recursion import Carry

__all__ = ["HRMFeaturesExtractor", "ReasoningVecEnv", "RecurrentHRMPolicy"]


class HRMFeaturesExtractor(BaseFeaturesExtractor):
    """Features of an observation: some segments of thought from a fresh carry.

    Pass it as ``policy_kwargs={"features_extractor_class": HRMFeaturesExtractor, "features_extractor_kwargs": {...}}``
    with ``MlpPolicy`` or ``MultiInputPolicy``.

    Args:
        observation_space: given by Stable-Baselines3.
        architecture: width, depth and wiring; the defaults of :class:`Architecture` if not given.
        segments: of thought about each observation; the gradient sees the last.
        readout: what of the planner's state the features are, see :class:`HRMEncoder`.
        scaled_pictures: Stable-Baselines3 divides uint8 pictures by 255; False with ``normalize_images=False``.
        space_options: keywords of :func:`~hrm_agents.integrations.spaces.read_space`: ``patch`` and so on.

    Raises:
        ValueError: the space, or a keyword, is not one that an encoder can do with.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        *,
        architecture: Architecture | None = None,
        segments: int = 2,
        readout: Readout = "slot",
        scaled_pictures: bool = True,
        space_options: Mapping[str, Any] | None = None,
    ) -> None:
        architecture = Architecture() if architecture is None else architecture
        super().__init__(observation_space, readout_size(architecture.hidden_size, readout))
        _check_segments(segments)
        self.segments = segments
        self.reader = Preprocessed(observation_space, scaled_pictures, space_options or {})
        self.encoder = HRMEncoder(architecture, self.reader.parts, readout=readout)

    def forward(self, observations: Any) -> Tensor:
        """Features float32 [B, ``features_dim``] of preprocessed observations."""
        return self.encoder.encode(self.reader(observations), self.segments)


class RecurrentHRMPolicy(RecurrentActorCriticPolicy):
    """A policy for ``RecurrentPPO`` that thinks on from where it stopped: the carry lasts for an episode.

    The carry takes the place of the LSTM's states. RecurrentPPO begins episodes by setting states to zero, while an
    HRM begins them from fixed vectors: a state is therefore the carry's distance from those. As in HRM no gradient
    flows from one step to the step before; training replays sequences of steps in order, each from the carry that was
    stored where it begins. RecurrentPPO stores 16 bytes for every number of a state, in every step of every row: with
    81 cells and 64 numbers a cell, 84 kB.

    Args:
        observation_space, action_space, lr_schedule: given by RecurrentPPO.
        architecture: width, depth and wiring; the defaults of :class:`Architecture` if not given.
        segments: of thought in each step of the environment.
        readout: what of the planner's state the policy sees, see :class:`HRMEncoder`.
        critic: ``"own"`` is a second HRM for the value; with ``"shared"`` the value is read off the policy's and its
            gradient stops there, at half the cost.
        space_options: keywords of :func:`~hrm_agents.integrations.spaces.read_space`: ``patch`` and so on.
        **kwargs: of ``ActorCriticPolicy``: ``net_arch``, ``activation_fn``, ``optimizer_class`` and so on.

    Raises:
        ValueError: the space, or a keyword, is not one that an encoder can do with.
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
        readout: Readout = "slot",
        critic: Literal["own", "shared"] = "own",
        space_options: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        taken = ("features_extractor", "share_features", "lstm", "n_lstm", "shared_lstm", "enable_critic_lstm")
        clash = next((name for name in kwargs if name.startswith(taken)), None)
        if clash is not None:
            raise ValueError(f"{clash} is of an LSTM policy; this one has architecture, segments, readout and critic")
        if critic not in ("own", "shared"):
            raise ValueError(f"critic={critic!r}: there are 'own' and 'shared'")
        _check_segments(segments)
        architecture = Architecture() if architecture is None else architecture
        options = dict(space_options or {})
        # Otherwise Stable-Baselines3 divides pictures of uint8 by 255.
        scaled_pictures = bool(kwargs.get("normalize_images", True))
        self._hrm_kwargs = {
            "architecture": architecture,
            "segments": segments,
            "readout": readout,
            "critic": critic,
            "space_options": options,
        }
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            features_extractor_class=_FlatParts,
            features_extractor_kwargs={"scaled_pictures": scaled_pictures, "options": options},
            # What the heads see. The LSTMs that this makes are replaced here.
            lstm_hidden_size=readout_size(architecture.hidden_size, readout),
            shared_lstm=critic == "shared",
            enable_critic_lstm=critic == "own",
            **kwargs,
        )
        parts = Preprocessed(observation_space, scaled_pictures, options).parts
        self.lstm_actor = _CarryCell(HRMEncoder(architecture, parts, readout=readout), segments)
        if critic == "own":
            self.lstm_critic = _CarryCell(HRMEncoder(architecture, parts, readout=readout), segments)
        self.lstm_hidden_state_shape = (1, 1, self.lstm_actor.hidden_size)
        optimizer_class: Any = self.optimizer_class
        self.optimizer = optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        data = super()._get_constructor_parameters()
        for name in ("features_extractor_class", "features_extractor_kwargs"):
            del data[name]
        return {**data, **self._hrm_kwargs}


class Preprocessed(nn.Module):
    """Reads observations that Stable-Baselines3 has preprocessed: one-hot, scaled and all of them floats."""

    def __init__(self, space: spaces.Space[Any], scaled_pictures: bool, options: Mapping[str, Any]) -> None:
        super().__init__()

        def seen(part: spaces.Space[Any]) -> spaces.Space[Any]:
            # By the same test as Stable-Baselines3's own.
            scaled = scaled_pictures and is_image_space(part)
            return spaces.Box(0.0, 1.0, part.shape, np.float32) if scaled else part

        if isinstance(space, spaces.Dict):
            self.space: spaces.Space[Any] = spaces.Dict({name: seen(part) for name, part in space.spaces.items()})
        else:
            self.space = seen(space)
        self.read = read_space(self.space, **options)
        self.parts = self.read.parts

    def forward(self, obs: Any) -> dict[str, Tensor]:
        """Every part by its name [B, width], of a batch of preprocessed observations."""
        if isinstance(self.space, spaces.Dict):
            obs = {name: _undo(part, obs[name]) for name, part in self.space.spaces.items()}
        else:
            obs = _undo(self.space, obs)
        found: dict[str, Tensor] = self.read(obs)
        return found


def _undo(space: spaces.Space[Any], values: Tensor) -> Tensor:
    """Values of ``space`` from what Stable-Baselines3 made of them."""
    if isinstance(space, spaces.Discrete):
        return values.reshape(values.shape[0], -1, int(space.n))[:, 0].argmax(-1)
    if isinstance(space, spaces.MultiDiscrete):
        return torch.stack([one.argmax(-1) for one in values.split(space.nvec.tolist(), dim=1)], dim=1)
    if isinstance(space, spaces.Box) and space.dtype is not None and space.dtype.kind in "iu":
        # RecurrentPPO fills short sequences up with zeros, which need not be in the space; their loss is masked.
        return values.clamp(float(space.low.min()), float(space.high.max()))
    return values


class _FlatParts(BaseFeaturesExtractor):
    """All parts of an observation in one row of floats, which hold tokens exactly: the input of a carry cell."""

    def __init__(self, observation_space: spaces.Space[Any], scaled_pictures: bool, options: Mapping[str, Any]) -> None:
        reader = Preprocessed(observation_space, scaled_pictures, options)
        super().__init__(observation_space, sum(part.width for part in reader.parts.values()))
        self.reader = reader

    def forward(self, observations: Any) -> Tensor:
        return torch.cat([values.float() for values in self.reader(observations).values()], dim=1)


class _CarryCell(nn.Module):
    """An encoder with the interface that RecurrentPPO expects of ``nn.LSTM``: z_H is its hidden state, z_L its cell."""

    num_layers = 1

    def __init__(self, encoder: HRMEncoder, segments: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.segments = segments
        self.input_size = sum(part.width for part in encoder.parts.values())
        self.hidden_size = encoder.num_slots * encoder.config.hidden_size

    def forward(self, sequence: Tensor, states: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Think through ``sequence`` [L, N, ``input_size``] from ``states``, two of [1, N, ``hidden_size``].

        Returns:
            Features [L, N, ``features_dim``] and the states after the last step.
        """
        initial = self.encoder.initial_carry(sequence.shape[1])
        features = []
        for rows in sequence:
            # Through the offset at every step, as in collection, where each step is a call: the same rounding.
            carry = Carry(*(self._plus(state, init) for state, init in zip(states, initial, strict=True)))
            carry, seen = self.encoder(self._parts(rows), carry, segments=self.segments)
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


def _check_segments(segments: int) -> None:
    if segments < 1:
        raise ValueError(f"segments={segments}: it takes at least 1")
