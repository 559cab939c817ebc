"""``hrm-agents bench scale``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any

import tyro

from hrm_agents.commands.benches.base import Bench, Result
from hrm_agents.commands.common import EXPLAINED, Keywords, keywords
from hrm_agents.environments import make_vector
from hrm_agents.errors import UserError
from hrm_agents.limits import Limits
from hrm_agents.presets import PresetName, preset


@dataclass(frozen=True)
class ScaleBench(Bench):
    """What training an HRM would take on several GPUs, predicted from shapes: nothing is measured.

    The defaults of the machine are what one H200 reached with eager training in bfloat16, and assumptions about links:
    see docs/scale.md.
    """

    preset: Annotated[PresetName, tyro.conf.Positional, EXPLAINED] = "paper-sudoku-extreme"
    """Source of the settings."""
    env: Annotated[str | None, EXPLAINED] = None
    """Gymnasium id; that of the preset if omitted."""
    gpus: tuple[int, ...] = (1, 8, 64)
    """Numbers of GPUs."""
    rows_per_gpu: Annotated[int | None, EXPLAINED] = None
    """Rows of each GPU; those of the preset, shared among the GPUs, if omitted."""
    hidden_size: Annotated[int | None, EXPLAINED] = None
    """Width of the network; that of the preset if omitted."""
    layers: Annotated[int | None, EXPLAINED] = None
    """Blocks of each module; those of the preset if omitted."""
    tflops: float = 147.0
    """What a GPU reaches in training, in 10^12 operations per second."""
    launch_ms: float = 0.4
    """Milliseconds that a block takes at least, forward or backward, however small; less with CUDA graphs."""
    inside: float = 300.0
    """GB per second and GPU of an all-reduce inside a machine of 8."""
    between: float = 40.0
    """GB per second and GPU between machines."""
    kwargs: Keywords = ()

    def measure(self) -> Result:
        """See :class:`Bench`."""
        from hrm_agents.models.hrm import HRMConfig
        from hrm_agents.speed.scaling import Machine, num_parameters, predict, work_of

        for option in ("tflops", "launch_ms", "inside", "between"):
            Limits(0.0, open_low=True).check(f"--{option.replace('_', '-')}", getattr(self, option))
        for number in self.gpus:
            Limits(1).check("--gpus", number)
        config = preset(self.env, self.preset)
        few = {"num_puzzles": 1, **config.env.kwargs, **keywords(self.kwargs)}
        env = make_vector(config.env.id, 1, few)
        env.close()
        changes: dict[str, Any] = {} if self.hidden_size is None else {"hidden_size": self.hidden_size}
        if self.layers is not None:
            changes |= {"H_layers": self.layers, "L_layers": self.layers}
        network = HRMConfig.for_task(replace(config.model, **changes), env.task_spec)
        machine = Machine(
            1e12 * self.tflops, self.launch_ms / 1000, inside=1e9 * self.inside, between=1e9 * self.between
        )
        second = config.halting.rule == "q" and config.halting.target == "second-forward"
        lines, figures = [], []
        for gpus in self.gpus:
            rows = config.run.batch_size if self.rows_per_gpu is None else gpus * self.rows_per_gpu
            if rows % gpus:
                raise UserError(f"{rows} rows cannot be shared by {gpus} GPUs: choose --rows-per-gpu")
            guess = predict(network, machine, rows=rows, gpus=gpus, second_forward=second)
            times = (guess.compute, guess.launch, guess.exchange)
            lines.append(
                [
                    str(gpus),
                    f"{rows:,}",
                    str(guess.rows),
                    *(f"{1000 * seconds:,.1f}" for seconds in times),
                    f"{rows / guess.seconds:,.0f}",
                    f"{guess.compute / guess.seconds:.0%}",
                ]
            )
            figures.append(
                {
                    "gpus": gpus,
                    "rows": rows,
                    **dict(zip(("compute", "launch", "exchange"), times, strict=True)),
                    "segments_per_second": rows / guess.seconds,
                }
            )
        parameters = num_parameters(network)
        work = config.run.batch_size * work_of(network).update(second_forward=second)
        columns = (
            "GPUs", "rows in all", "rows each", "compute ms", "launch ms", "gradients ms", "segments/s", "efficiency"
        )  # fmt: skip
        notes = [
            f"{self.preset} in {config.env.id}: {parameters:,} parameters, {work / 1e12:.2f} TFLOP an update of "
            f"{config.run.batch_size} rows",
            "an update takes the longer of compute and launch, and then the exchange of gradients",
        ]
        return Result(columns, lines, {"parameters": parameters, "figures": figures}, notes)
