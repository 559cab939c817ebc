"""Conversion of public HRM and TRM checkpoints to the networks and parameter names of this package.

Nothing is downloaded.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from hrm_agents.errors import shown
from hrm_agents.models.interface import Sizes
from hrm_agents.models.limits import check_setting
from hrm_agents.models.registry import HRM_NAME, ModelKind, model_kind

_WRAPPERS = ("_orig_mod.", "module.", "model.", "inner.")
_TOP_LEVEL = {
    "H_init": "H_init",
    "L_init": "L_init",
    "embed_tokens.embedding_weight": "embedding.token",
    "embed_pos.embedding_weight": "embedding.position",
    "lm_head.weight": "answer_head.weight",
    "q_head.weight": "q_head.weight",
    "q_head.bias": "q_head.bias",
}
_IN_BLOCK = {
    "self_attn.qkv_proj.weight": "attention.qkv.weight",
    "self_attn.o_proj.weight": "attention.out.weight",
    "mlp_t.gate_up_proj.weight": "across.gate_up.weight",
    "mlp_t.down_proj.weight": "across.down.weight",
    "mlp.gate_up_proj.weight": "mlp.gate_up.weight",
    "mlp.down_proj.weight": "mlp.down.weight",
}
_TRM_NAME = "trm"
#: Our names of the modules with blocks, by network and official name.
_MODULES = {HRM_NAME: {"H": "H", "L": "L"}, _TRM_NAME: {"L": "net"}}
_TASK_TABLE = "puzzle_emb.weights"
_TABLE, _TOKENS, _POSITIONS = "embedding.task.weight", "embedding.token", "embedding.position"
#: Values that the public code has unless its settings name others.
_CONSTANTS = {"rms_eps": 1e-5}
_ROTARY_CONSTANTS = {"position": "rope", "rope_theta": 10000.0}


def our_names(official: Iterable[str]) -> dict[str, str]:
    """Convert all parameter names of a checkpoint; the task table gets its name in models of several task ids.

    Raises:
        ValueError: one is not a parameter of an HRM or TRM checkpoint, or two differ in their prefixes alone.
    """
    bare = {original: _without_wrappers(original) for original in official}
    modules = _MODULES[_network(bare.values())]
    names: dict[str, str] = {}
    seen = set()
    for original, name in bare.items():
        ours = _our_name(name, modules)
        if ours is None:
            raise ValueError(f"{shown(original)} is not a parameter of an HRM or TRM checkpoint")
        if ours in seen:
            raise ValueError(f"weight {shown(name)} occurs twice, with and without a prefix")
        seen.add(ours)
        names[original] = ours
    return names


def _without_wrappers(name: str) -> str:
    while (wrapper := next(filter(name.startswith, _WRAPPERS), None)) is not None:
        name = name.removeprefix(wrapper)
    return name


def _network(names: Iterable[str]) -> str:
    """The network that has weights of these names: TRM has L_level alone, in both roles."""
    levels = {name.partition("_level.layers.")[0] for name in names if "_level.layers." in name}
    return _TRM_NAME if levels == {"L"} else HRM_NAME


def _our_name(name: str, modules: Mapping[str, str]) -> str | None:
    if name == _TASK_TABLE:
        return _TABLE
    level, _, rest = name.partition("_level.layers.")
    index, _, part = rest.partition(".")
    if level in modules and part in _IN_BLOCK:
        return f"{modules[level]}.blocks.{index}.{_IN_BLOCK[part]}"
    return _TOP_LEVEL.get(name)


def _original_name(name: str) -> str:
    """Convert one of our parameter names to the official one, without a prefix."""
    module, in_block, rest = name.partition(".blocks.")
    index, _, part = rest.partition(".")
    names = {ours: theirs for theirs, ours in (_IN_BLOCK if in_block else _TOP_LEVEL).items()}
    level = "H" if module == "H" else "L"
    return f"{level}_level.layers.{index}.{names[part]}" if in_block else names.get(name, _TASK_TABLE)


@dataclass(frozen=True)
class OfficialWeights:
    """Weights of a public checkpoint, and what they tell about its network."""

    model_name: str
    """Registered name of the network: hrm or trm."""
    tensors: Mapping[str, Tensor]
    """By our names; the table of task embeddings as in models of several task ids."""

    @classmethod
    def of(cls, state_dict: Mapping[str, Tensor]) -> OfficialWeights:
        """Recognise the network of a checkpoint.

        Args:
            state_dict: official names, with or without the prefixes of ``torch.compile``, of data-parallel training
                and of the modules around the network.

        Raises:
            ValueError: a name is unknown or occurs twice, or a size that all others depend on is missing.
        """
        names = our_names(state_dict)
        found = cls(
            _network(map(_without_wrappers, state_dict)),
            {names[original]: tensor.detach() for original, tensor in state_dict.items()},
        )
        check_setting("hidden_size", found.hidden_size)
        if _TABLE in found.tensors:
            found._matrix(_TABLE)
        return found

    @property
    def kind(self) -> ModelKind:
        """How to make the network."""
        return model_kind(self.model_name, "public checkpoint")

    @property
    def vocab_size(self) -> int:
        """Number of tokens."""
        return self._matrix(_TOKENS)[0]

    @property
    def hidden_size(self) -> int:
        """Width d of every state vector."""
        return self._matrix(_TOKENS)[1]

    @property
    def num_task_rows(self) -> int:
        """Number of rows of the table of task embeddings; 0 without a table."""
        return len(self.tensors.get(_TABLE, ()))

    @property
    def num_slots(self) -> int | None:
        """T, prefix and cells; None if no weight depends on it."""
        if _POSITIONS in self.tensors:
            return self._matrix(_POSITIONS)[0]
        return self._matrix(self._first_block("across.down.weight"))[0] if self.mixing == "mlp" else None

    @property
    def mixing(self) -> str:
        """How slots exchange information: attention or mlp."""
        return "mlp" if any(".across." in name for name in self.tensors) else "attention"

    @property
    def required(self) -> list[str]:
        """Settings of the network, by our names, that the weights do not tell."""
        names = ["num_heads"] if self.mixing == "attention" else []
        names += ["H_cycles", "L_cycles"]
        return names if self.num_slots or self.prefix_slots() is not None else [*names, "puzzle_emb_len"]

    @property
    def assumed(self) -> dict[str, Any]:
        """Settings of the network that are constants in the public code, unless other values are named."""
        has_rotary = self.mixing == "attention" and _POSITIONS not in self.tensors
        return _CONSTANTS | (_ROTARY_CONSTANTS if has_rotary else {})

    def prefix_slots(self, puzzle_emb_len: int | None = None) -> int | None:
        """Number of slots before the cells, or None if ``puzzle_emb_len`` is needed and not given; 0 stands for as
        many as a task embedding fills, which HRM always has.
        """
        if _TABLE not in self.tensors:
            return 0
        filled = math.ceil(self._matrix(_TABLE)[1] / self.hidden_size)
        return filled if self.model_name == HRM_NAME or puzzle_emb_len == 0 else puzzle_emb_len

    def resolved(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """``settings`` by name as this network applies them.

        A ``puzzle_emb_len`` of 0 stands for as many slots as the task embedding fills, and rotary positions have no
        effect without attention.
        """
        found = dict(settings)
        if found.get("puzzle_emb_len") == 0:
            found["puzzle_emb_len"] = self.prefix_slots(0)
        if found.get("position") == "rope" and self.mixing == "mlp":
            found["position"] = "none"
        return found

    def told(self, num_cells: int) -> dict[str, Any]:
        """Settings that the weights tell, by our names; TRM's layers are ``L_layers``, as in its public code.

        Raises:
            ValueError: there are no more slots than cells although there is a task embedding.
        """
        found: dict[str, Any] = {"hidden_size": self.hidden_size}
        for module in _MODULES[self.model_name].values():
            marks = ("attention.qkv.weight", "across.gate_up.weight")
            layers = sum(name.startswith(f"{module}.blocks.") and name.endswith(marks) for name in self.tensors)
            found["H_layers" if module == "H" else "L_layers"] = layers
        found["mixing"] = self.mixing
        if _POSITIONS in self.tensors:
            found["position"] = "learned"
        elif self.mixing == "mlp":
            found["position"] = "none"
        slots = self.prefix_slots()
        if slots is None and self.num_slots:
            slots = self.num_slots - num_cells
            if slots < 1:
                raise ValueError(f"it has {self.num_slots} slots, too few for a task embedding and {num_cells} cells")
        return found if slots is None else found | {"puzzle_emb_len": slots}

    def convert(
        self, values: Mapping[str, Any], grid_shape: tuple[int, int], *, blank_task_ids: int | None = None
    ) -> tuple[Any, Sizes, dict[str, Tensor]]:
        """Convert to settings, sizes and weights of a network of ours.

        The one-row task table of a checkpoint with a single task identity (Sudoku, Maze) becomes our learned prefix.

        Args:
            values: settings that the weights do not tell, by our names: those of :attr:`required`, and others.
            grid_shape: rows and columns.
            blank_task_ids: replace the task table by one of this many rows of zeros.

        Returns:
            What ``kind.build`` takes, and a float32 state dict for the network.

        Raises:
            ValueError: a weight is missing or has the wrong shape, or the settings do not fit together.
        """
        known = self.assumed | dict(values) | self.told(math.prod(grid_shape))
        slots = self.prefix_slots(known.get("puzzle_emb_len"))
        ndim = self._matrix(_TABLE)[1] if _TABLE in self.tensors else None
        expansion, multiple = self._mlp_size()
        known |= {
            "num_layers": known["L_layers"],
            # Without attention there are no heads.
            "num_heads": known["num_heads"] if self.mixing == "attention" else 1,
            "expansion": expansion,
            "mlp_multiple": multiple,
            "puzzle_emb_ndim": ndim,
            "puzzle_emb_len": slots or None,
            "prefix_slots": slots,
        }
        names = [each.name for each in fields(self.kind.settings) if each.name in known]
        settings = self.kind.settings(**{name: known[name] for name in names})
        num_task_ids = (self.num_task_rows or 1) if blank_task_ids is None else blank_task_ids
        sizes = Sizes(self.vocab_size, grid_shape, num_task_ids)
        with torch.device("meta"):
            expected = self.kind.build(settings, sizes).state_dict()
        ours = dict(self.tensors)
        if ndim is not None:
            blank = blank_task_ids is not None
            ours |= _task_embedding(ours.pop(_TABLE), sizes, slots or 0, self.hidden_size, blank=blank)
        _check_shapes(ours, expected, sizes)
        return settings, sizes, {name: tensor.float() for name, tensor in ours.items()}

    def _mlp_size(self) -> tuple[float, int]:
        """``expansion`` and ``mlp_multiple`` that give the MLPs their widths, if any do."""
        parts = ["mlp.down.weight"] + (["across.down.weight"] if self.mixing == "mlp" else [])
        shapes = [self._matrix(self._first_block(part)) for part in parts]
        expansion = min(1.5 * width / size for size, width in shapes)
        # The multiple of several widths is their greatest divisor, which leaves most choice of the expansion.
        return expansion, math.gcd(*(width for _, width in shapes)) if len(shapes) > 1 else 1

    def _first_block(self, part: str) -> str:
        return f"{next(iter(_MODULES[self.model_name].values()))}.blocks.0.{part}"

    def _matrix(self, name: str) -> tuple[int, int]:
        """Shape of a weight.

        Raises:
            ValueError: it is missing or not a matrix.
        """
        tensor = self.tensors.get(name)
        if tensor is None or tensor.ndim != 2:
            raise ValueError(
                f"weight {shown(_original_name(name))} is missing or not a matrix: this is no HRM or TRM checkpoint"
            )
        return tensor.shape[0], tensor.shape[1]


def _task_embedding(table: Tensor, sizes: Sizes, slots: int, hidden_size: int, *, blank: bool) -> dict[str, Tensor]:
    """The task table of a checkpoint, or zeros, under its name in a model of ``sizes``."""
    if sizes.num_task_ids > 1:
        return {_TABLE: table.new_zeros(sizes.num_task_ids, table.shape[1]) if blank else table}
    prefix = table.new_zeros(slots * hidden_size)
    if not blank:
        prefix[: table.shape[1]] = table[0]
    return {"embedding.prefix": prefix.view(slots, hidden_size)}


def _check_shapes(ours: Mapping[str, Tensor], expected: Mapping[str, Tensor], sizes: Sizes) -> None:
    """Raise ValueError unless ``ours`` has the names and shapes of ``expected``."""
    for name in sorted(set(ours) ^ set(expected)):
        problem = "is missing" if name in expected else "is unexpected"
        raise ValueError(f"weight {shown(_original_name(name))} {problem}")
    for name, tensor in expected.items():
        if ours[name].shape != tensor.shape:
            rows, columns = sizes.grid_shape
            raise ValueError(
                f"weight {shown(_original_name(name))} has shape {shown(tuple(ours[name].shape))}; the others, and a "
                f"grid of {rows} x {columns} cells, require {tuple(tensor.shape)}"
            )
