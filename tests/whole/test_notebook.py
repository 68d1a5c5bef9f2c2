"""The notebook under docs runs from top to bottom on a quickstart run."""

import json
import os
import subprocess
import sys
from pathlib import Path

NOTEBOOK = Path(__file__).parents[2] / "docs" / "htbench.ipynb"
MAKE_RUN = """
import htbench
methods = ["prompt", "mean-shift", "hypertransport"]
htbench.run("quickstart", methods=methods, limit=2, prompts=1, name="quickstart")
"""


def test_the_notebook_runs_from_top_to_bottom(tmp_path: Path) -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert len(code) == 5
    answer = subprocess.run(
        [sys.executable, "-c", "\n".join([MAKE_RUN, *code])],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "MPLBACKEND": "Agg"},
    )
    assert answer.returncode == 0, answer.stderr
