"""`./manage.py test`: real servers and a real browser for the test suite, and pytest in the middle."""

# ruff: noqa: S603, S607 - the commands are ours; nothing in them comes from outside

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

from apps.local import servers
from apps.local.environment import ROOT, SERVICES, SetupError

_FOLDER = Path("tests/integration")
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def run(arguments: Sequence[str]) -> int:
    """The worst of pytest's exit statuses. Raises SetupError when there is no browser or pooler, or a server does not start.

    The tests of each of the four services beside the engine run in a process of their own, with its settings, where the other
    services cannot be imported; all the rest run in one.
    """
    print(f"Browser tests use {_installed('chromium', *_BROWSERS)}", flush=True)
    pooler = _installed("pgbouncer", "pgbouncer")
    with (
        tempfile.TemporaryDirectory(prefix="healthflow-test-") as folder,
        servers.running(Path(folder)) as variables,
    ):
        return max(_pytest(group, {**os.environ, **variables, **more, "PGBOUNCER": pooler}) for group, more in _groups(arguments))


def _groups(arguments: Sequence[str]) -> Iterator[tuple[list[str], dict[str, str]]]:
    """pytest's arguments and variables for each of its runs."""
    chosen = [argument for argument in arguments if (ROOT / argument.partition("::")[0]).exists()]
    options = [argument for argument in arguments if argument not in chosen]
    alone = {name: [path for path in chosen if _is_below(path, _FOLDER / name)] for name in SERVICES[1:]}
    rest = [path for path in chosen if not any(path in paths for paths in alone.values())]
    if rest or not chosen:
        ignored = [f"--ignore={_FOLDER / name}" for name in alone] if not rest else []
        yield [*options, *ignored, *rest], {}
    for name, paths in alone.items():
        if paths or not chosen:
            settings = (f"--ds=apps.{name}.settings", "-p", "tests.alone")
            yield [*options, *settings, *(paths or [str(_FOLDER / name)])], {"ALONE": name}


def _is_below(path: str, folder: Path) -> bool:
    return Path(path.partition("::")[0]).is_relative_to(folder)


def _pytest(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    suite = subprocess.Popen([sys.executable, "-m", "pytest", *arguments], cwd=ROOT, env=environ)

    def forward(number: int, _frame: FrameType | None) -> None:
        suite.send_signal(number)

    # A Ctrl-C reaches pytest by itself; here it must not end the servers under the tests that are being torn down.
    signal.signal(signal.SIGINT, lambda _number, _frame: None)
    signal.signal(signal.SIGTERM, forward)
    return suite.wait()


def _installed(package: str, *commands: str) -> str:
    """The program that tests need beside the wheels; on Debian, root installs its package when it is missing."""
    # A pooler is for servers: its program is where not everybody looks.
    where = f"{os.environ.get('PATH', '')}:/usr/sbin"
    found = next(filter(None, (shutil.which(command, path=where) for command in commands)), None)
    if found is not None:
        return found
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise SetupError(f"Some tests need {package}. Install it (package {package}), then run the tests again.")
    print(f"Installing {package} for the tests ...", flush=True)
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (("update",), ("install", "-y", "--no-install-recommends", package)):
        try:
            subprocess.run(["apt-get", "-q", *command], env=environ, check=True)
        except subprocess.CalledProcessError as error:
            raise SetupError(f"{package} could not be installed: {error}") from error
    installed = shutil.which(package, path=where)
    if installed is None:
        raise SetupError(f"{package} was installed, but there is no command {package}.")
    return installed
