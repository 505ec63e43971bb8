"""`up`, `down`, `status` and `test`: what a person types, and what they read."""

# ruff: noqa: S603 - the commands are ours; nothing in them comes from outside

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

from apps.local import environment, state, suite
from apps.local.environment import ROOT, SetupError
from apps.local.serving import say, serve
from apps.local.stack import stack

_STOPPED_WITHIN_S = 60
_POLL_S = 0.1
_MOST_REPLICAS = 5  # a primary takes ten connections of standbys, and each takes two while it is copied


def main(arguments: list[str]) -> int:
    """Runs one of the four commands; the exit status. What must be mended outside is said in one message."""
    try:
        if arguments[0] == "test":  # everything behind it belongs to pytest
            return suite.run(arguments[1:])
        options = _parser().parse_args(arguments)
        options.data = options.data.absolute()
        return {"up": up, "down": down, "status": status}[options.command](options)
    except SetupError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def up(options: argparse.Namespace) -> int:
    """Starts everything and stays; with `detach`, returns as soon as everything is ready, 1 if it does not get there."""
    environment.private_folder(options.data)
    if options.detach:
        return _detached(options)
    # Every socket of a client is two of the edge, and the usual soft limit is 1,024.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with state.held(options.data):
        port = options.port or environment.free_ports(1)[0]
        environment.require_free(port)
        what = stack(
            options.data,
            port=port,
            demo=options.demo,
            limits=options.limits,
            given=os.environ,
            replicas=options.replicas,
        )
        if options.behind:
            return serve(what, data=options.data, stop_hint=_how_to_stop(options.data), show=_keep_quiet)
        return serve(what, data=options.data, stop_hint="Ctrl-C stops everything.")


def down(options: argparse.Namespace) -> int:
    """Stops what runs in the data folder, in the foreground of another terminal or detached; 0 also when nothing runs."""
    pid = state.holder(options.data)
    if pid is None:
        print("Nothing runs here.")
        return 0
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOPPED_WITHIN_S
    while state.holder(options.data) == pid:
        if time.monotonic() > deadline:
            raise SetupError(f"Process {pid} was asked to stop {_STOPPED_WITHIN_S} s ago and still runs.")
        time.sleep(_POLL_S)
    print("Stopped.")
    return 0


def status(options: argparse.Namespace) -> int:
    """Says what runs; 0 when all of it is well."""
    saved = state.load(options.data)
    found = state.report(saved)
    if options.json:
        print(json.dumps(found))
    else:
        print(state.table(found))
    return 0 if saved is not None and saved.ready and state.is_well(found) else 1


def _detached(options: argparse.Namespace) -> int:
    log = environment.private_folder(options.data / "logs") / "up.log"
    command = [sys.executable, str(ROOT / "manage.py"), "up", "--behind", "--data", str(options.data)]
    command += ["--port", str(options.port), "--replicas", str(options.replicas)]
    command += [] if options.demo else ["--no-demo"]
    command += [] if options.limits else ["--no-limits"]
    with log.open("wb") as output:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, cwd=ROOT)
    try:
        while child.poll() is None:
            saved = state.load(options.data)
            if saved is not None and saved.pid == child.pid and saved.ready:
                say(state.announcement(saved, stop=_how_to_stop(options.data)))
                return 0
            time.sleep(_POLL_S)
    except KeyboardInterrupt:
        child.terminate()
        child.wait()
    print(log.read_text(errors="replace"), end="", file=sys.stderr)
    return 1


def _how_to_stop(data: Path) -> str:
    usual = environment.ROOT / ".data"
    return "./manage.py down stops everything." if data == usual else f"./manage.py down --data {data} stops everything."


def _keep_quiet(_line: str) -> None:
    pass


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./manage.py")
    commands = parser.add_subparsers(dest="command", required=True)
    start = commands.add_parser("up", help="start everything on this machine")
    start.add_argument(
        "--port",
        type=_port,
        default=8000,
        help="of the one address everything is behind; 0 takes a free one",
    )
    start.add_argument("--no-demo", dest="demo", action="store_false", help="no demo clinic")
    start.add_argument("--no-limits", dest="limits", action="store_false", help="rate limits off, for load tests")
    start.add_argument("--replicas", type=_replicas, default=0, help="standbys of the database, which answer reads (0)")
    start.add_argument("--detach", action="store_true", help="go on in the background; ./manage.py down stops it")
    start.add_argument("--behind", action="store_true", help=argparse.SUPPRESS)
    look = commands.add_parser("status", help="what runs, and whether it is well")
    look.add_argument("--json", action="store_true")
    stop = commands.add_parser("down", help="stop what up started")
    for command in (start, look, stop):
        usual = os.environ.get("HEALTHFLOW_DATA") or ROOT / ".data"
        command.add_argument("--data", type=Path, default=Path(usual), help="folder of this copy's data (.data)")
    return parser


def _replicas(text: str) -> int:
    if not (text.isdigit() and int(text) <= _MOST_REPLICAS):
        raise argparse.ArgumentTypeError(f"that is a number from 0 to {_MOST_REPLICAS}")
    return int(text)


def _port(text: str) -> int:
    if not (text.isdigit() and int(text) < 65536):
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return int(text)
