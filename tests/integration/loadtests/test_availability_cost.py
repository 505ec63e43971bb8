"""What a search costs, in small: the load test runs to its end, and finds every kind of answer to be the same."""

import subprocess
import sys
from pathlib import Path

from apps.local.environment import ROOT


def test_the_cost_of_a_search_is_measured(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    command = (sys.executable, "-m", "loadtests.availability", "--turns", "1", "--each", "10", "--page", str(page))

    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stderr[-2000:]
    for kind in ("trivial view", "kept", "kept, through Django", "a booking since", "nothing is known"):
        assert f"\n| {kind} | " in page.read_text()
