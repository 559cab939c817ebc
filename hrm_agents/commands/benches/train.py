"""``hrm-agents bench train``."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from hrm_agents.commands.benches.base import MeasuredBench, Result
from hrm_agents.commands.common import EXPLAINED, Device, Keywords, Modules, keywords, progress
from hrm_agents.environments import user_id
from hrm_agents.limits import Limits
from hrm_agents.presets import SMALL, PresetName, preset
from hrm_agents.user_modules import import_modules

if TYPE_CHECKING:
    from hrm_agents.config import TrainConfig
    from hrm_agents.speed.rounds import Spread
    from hrm_agents.speed.training import Round, TrainingSpeed


@dataclass(frozen=True)
class TrainBench(MeasuredBench):
    """Training updates: their time, the share outside the model, operations and memory.

    Every combination of the environments, --model, --batch-size and --micro-batch is measured, and with --compile and
    --recompute each of them with and without.
    """

    rounds: int = 3
    """How often to measure each; tables show the median and the quartiles."""
    envs: Annotated[tuple[str, ...], tyro.conf.Positional, EXPLAINED] = ()
    """Gymnasium ids; that of the preset if omitted. module:id and FILE.py:id import your module first."""
    preset: Annotated[PresetName, EXPLAINED] = SMALL
    """Source of the settings, as in `hrm-agents train`."""
    model: tuple[str, ...] = ("hrm",)
    """Networks."""
    batch_size: Annotated[tuple[int, ...], EXPLAINED] = ()
    """Rows in training; those of the preset if omitted."""
    micro_batch: Annotated[tuple[int, ...], EXPLAINED] = ()
    """Rows per forward and backward pass; those of the preset if omitted."""
    recompute: bool = False
    """Also compute the activations of each block again in the backward pass."""
    compile: bool = False
    """Also with torch.compile, which takes a minute first."""
    updates: int = 8
    """Number of updates in a round, each on one segment of every row."""
    threads: Annotated[int | None, EXPLAINED] = None
    """Threads on the CPU; torch's own choice if omitted."""
    kwargs: Keywords = ()
    module: Modules = ()
    device: Device = "auto"

    def measure(self) -> Result:
        """See :class:`Bench`."""
        from hrm_agents.speed.rounds import Spread, in_turn, machine
        from hrm_agents.speed.training import TrainingSpeed

        self.check_rounds()
        Limits(1).check("--updates", self.updates)
        import_modules(self.module)
        settings = self._settings()
        rounds: dict[str, list[Round]] = {name: [] for name in settings}
        speeds: dict[str, TrainingSpeed] = {}
        figures, lines = [], []
        with tempfile.TemporaryDirectory() as folder, progress("training") as share:
            for number, (name, config) in enumerate(settings.items()):
                speeds[name] = TrainingSpeed(config, Path(folder) / str(number))
                speeds[name].warm_up()
                share((number + 1) / len(settings) / 2)

            def seconds(name: str) -> float:
                rounds[name].append(speeds[name].measure(self.updates))
                return rounds[name][-1].seconds

            measured = {name: (lambda name=name: seconds(name)) for name in settings}
            spreads = in_turn(measured, self.rounds, lambda done: share((1 + done) / 2))
            peaks: dict[Any, float] = {}
            for name, speed in speeds.items():
                kind = (speed.device, speed.dtype)
                if kind not in peaks:
                    peaks[kind] = speed.peak_flops()
                outside = Spread(tuple(each.outside for each in rounds[name]))
                found = _figures(speed, speeds, spreads[name], outside, peaks[kind])
                figures.append({"settings": name, **found})
                lines.append(_training_line(name, found, spreads[name], outside))
        columns = ("settings", "ms an update", "segments/s", "outside the model", "of peak", "predicted", "counted")
        device = next(iter(speeds.values())).device
        rates = " and ".join(f"{peak / 1e9:,.0f} GFLOP/s in {dtype}" for (_, dtype), peak in peaks.items())
        notes = [
            f"on {device}; the peak is that of a large matrix product, {rates}",
            "memory of an update, in MiB: predicted from shapes, and counted in a running one",
        ]
        return Result(columns, lines, {"machine": machine(device), "figures": figures}, notes)

    def _settings(self) -> dict[str, TrainConfig]:
        """The settings to measure, by what is different about them."""
        from hrm_agents.config import with_model

        found = {}
        choices = (
            self.envs or (None,),
            self.model,
            self.batch_size or (None,),
            self.micro_batch or (None,),
            (False, True) if self.recompute else (False,),
            (False, True) if self.compile else (False,),
        )
        for env, model, batch_size, micro_batch, recompute, compiled in itertools.product(*choices):
            config = preset(None if env is None else user_id(env), self.preset)
            config = with_model(config, model)
            changes: dict[str, Any] = {"recompute": recompute, "compile": compiled, "device": self.device}
            changes |= {"threads": self.threads}
            sizes = {"batch_size": batch_size, "micro_batch": micro_batch}
            changes |= {name: size for name, size in sizes.items() if size is not None}
            kwargs = {**config.env.kwargs, **keywords(self.kwargs)}
            env_config, run = replace(config.env, kwargs=kwargs), replace(config.run, **changes)
            config = replace(config, env=env_config, run=run)
            words = [config.env.id, model, f"{config.run.batch_size} rows"]
            words += [f"{config.run.micro_batch} at a time"] * (config.run.micro_batch is not None)
            words += ["recomputed"] * recompute + ["compiled"] * compiled
            found[", ".join(words)] = config
        return found


def _figures(
    speed: TrainingSpeed, speeds: Mapping[str, TrainingSpeed], seconds: Spread, outside: Spread, peak: float
) -> dict[str, Any]:
    """The figures of one setting. Operations of compiled training are those of the same training without."""
    plain = replace(speed.config, run=replace(speed.config.run, compile=False))
    flops = next((other.flops for other in speeds.values() if other.config == plain), None)
    return {
        "parameters": speed.num_parameters(),
        "rows": speed.config.run.batch_size,
        "dtype": str(speed.dtype),
        "seconds_per_update": seconds.to_dict(),
        "segments_per_second": speed.config.run.batch_size / seconds.median,
        "outside_the_model": outside.to_dict(),
        "flops_per_update": flops,
        "share_of_peak": None if flops is None else flops / seconds.median / peak,
        "predicted_memory": speed.predicted_memory(),
        "counted_memory": speed.counted_memory(),
    }


def _training_line(name: str, found: Mapping[str, Any], seconds: Spread, outside: Spread) -> list[str]:
    share = found["share_of_peak"]
    return [
        name,
        type(seconds)(tuple(1000 * value for value in seconds.values)).text(",.1f"),
        f"{found['segments_per_second']:,.0f}",
        outside.text(".1%"),
        "" if share is None else f"{share:.0%}",
        *(f"{found[name] / 2**20:,.0f}" for name in ("predicted_memory", "counted_memory")),
    ]
