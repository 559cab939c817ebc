"""What the built-in networks share: they embed a puzzle as a sequence of slots, and read its states with two heads."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hrm_agents.models.architecture import BlockSettings
from hrm_agents.models.embeddings import InputEmbedding, add_rotary, rotary_tables
from hrm_agents.models.interface import SegmentModel, SegmentOutput, Sizes
from hrm_agents.models.layers import Linear, Rotary, activation_type


class GridModel(SegmentModel):
    """A network over ``P`` prefix slots and ``S`` cells, ``T = P + S``, with an answer head and a Q-head.

    Subclasses call ``_add_embedding``, add their own modules, and call ``_add_heads`` and ``_add_rotary``, because a
    seed determines weights by the order in which they are drawn.
    """

    settings: BlockSettings
    rotary_cos: Tensor
    rotary_sin: Tensor

    def _add_embedding(self, settings: BlockSettings, sizes: Sizes) -> None:
        settings.check()
        self.settings, self.sizes = settings, sizes
        self.num_slots = self.num_prefix_slots + sizes.num_cells
        self.embedding = InputEmbedding(
            sizes.vocab_size,
            sizes.num_cells,
            settings.hidden_size,
            prefix_slots=self.num_prefix_slots,
            task_ids=sizes.num_task_ids,
            task_ndim=settings.task_emb_ndim,
            learned_positions=settings.has_learned_positions,
        )

    def _add_rotary(self) -> None:
        add_rotary(self, rotary_tables(self.settings, self.num_prefix_slots, [self.sizes.grid_shape]))

    def _add_heads(self) -> None:
        self.answer_head = Linear(self.settings.hidden_size, self.sizes.vocab_size)
        # Start from a near-zero success probability, so that bootstrapped targets grow from below.
        self.q_head = nn.Linear(self.settings.hidden_size, 2)
        nn.init.zeros_(self.q_head.weight)
        nn.init.constant_(self.q_head.bias, -5.0)

    @property
    def rotary(self) -> Rotary | None:
        """The rotary tables, if there are rotary positions."""
        return (self.rotary_cos, self.rotary_sin) if self.settings.has_rotary else None

    @property
    def dtype(self) -> torch.dtype:
        """Type of activations and carry; "auto" depends on the device on which the weights are now."""
        return activation_type(self.settings.dtype, self.q_head.weight.device)

    @property
    def num_prefix_slots(self) -> int:
        """P, the number of slots before the grid."""
        return self.settings.prefix_of(self.sizes.num_task_ids)

    def read(self, states: Tensor) -> SegmentOutput:
        """Apply both heads to the states ``[B, T, d]`` after a segment."""
        logits = self.answer_head(states[:, self.num_prefix_slots :]).float()
        q_input = self.q_input(states, logits)
        q_halt, q_continue = F.linear(q_input.float(), self.q_head.weight, self.q_head.bias).unbind(-1)
        return SegmentOutput(logits, q_halt, q_continue, q_input.detach())

    def q_input(self, states: Tensor, logits: Tensor) -> Tensor:
        """What the Q-head reads, ``[B, d]``: the state of the first slot. Override it for other features.

        Args:
            states: ``[B, T, d]``; in HRM those of the planner.
            logits: float32 ``[B, S, V]``.
        """
        return states[:, 0]

    def task_input(self, task_id: Tensor | None) -> Tensor | None:
        """The prefix slots of the identities, ``[B, P, d]``; the identities themselves without a task embedding."""
        return task_id if self.embedding.task is None or task_id is None else self.embedding.task(task_id.int())

    def sparse_parameters(self) -> dict[str, nn.Parameter]:
        """The task embedding table, if any, by name; its gradient is sparse, for SignSGD."""
        task = self.embedding.task
        return {} if task is None else {"embedding.task.weight": task.weight}
