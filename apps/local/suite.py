"""`./manage.py test`: real servers and a real browser for the test suite, and pytest in the middle."""

# ruff: noqa: S603, S607 - the commands are ours; nothing in them comes from outside

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from apps.local import servers
from apps.local.environment import ROOT, SetupError

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def run(arguments: Sequence[str]) -> int:
    """pytest's own exit status. Raises SetupError when there is no browser or a server does not start."""
    print(f"Browser tests use {_browser()}", flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="healthflow-test-") as folder,
        servers.running(Path(folder)) as variables,
    ):
        environ = {**os.environ, **variables}
        suite = subprocess.Popen([sys.executable, "-m", "pytest", *arguments], cwd=ROOT, env=environ)

        def forward(number: int, _frame: FrameType | None) -> None:
            suite.send_signal(number)

        # A Ctrl-C reaches pytest by itself; here it must not end the servers under the tests that are being torn down.
        signal.signal(signal.SIGINT, lambda _number, _frame: None)
        signal.signal(signal.SIGTERM, forward)
        return suite.wait()


def _browser() -> str:
    found = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if found is not None:
        return found
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise SetupError("The browser tests need Chromium. Install it (package chromium), then run the tests again.")
    print("Installing Chromium for the browser tests ...", flush=True)
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (("update",), ("install", "-y", "--no-install-recommends", "chromium")):
        try:
            subprocess.run(["apt-get", "-q", *command], env=environ, check=True)
        except subprocess.CalledProcessError as error:
            raise SetupError(f"Chromium could not be installed: {error}") from error
    installed = shutil.which("chromium")
    if installed is None:
        raise SetupError("Chromium was installed, but there is no command chromium.")
    return installed
