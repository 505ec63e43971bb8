"""The load test of the tables, small: it runs, keeps every promise in both layouts, and history leaves the range index."""

import json
import os
import subprocess
import sys

SIZE = 25_000


def test_the_tables_are_measured_in_both_layouts_and_settled() -> None:
    command = (sys.executable, "-m", "loadtests.tables", "--size", str(SIZE), "--rounds", "1", "--times", "3")
    ended = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ), check=False)

    assert ended.returncode == 0, ended.stderr[-2000:]
    found = json.loads(ended.stdout.splitlines()[-1])
    assert (found["appointments"], found["broken"]) == (SIZE, [])
    assert set(found["times"]) == {"four parts", "one table", "settled"}
    pkey = "engine_allocation engine_allocation_pkey"
    assert found["settled"][pkey] < found["sizes"][pkey] * 0.8
