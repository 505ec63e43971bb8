"""The table of what runs on one machine, and in which order."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from apps.local import edge, environment
from apps.local.environment import ROOT, SERVICES
from apps.local.processes import Process
from apps.local.servers import servers

_BIN = Path(sys.executable).parent
_MANAGE = (sys.executable, str(ROOT / "manage.py"))
# Two, so that one serves while the other is restarted.
_REALTIME = ("realtime-1", "realtime-2")


@dataclass(frozen=True)
class Stack:
    """Processes in their order, the variables all of them get, and the address of the edge."""

    table: tuple[Process, ...]
    variables: Mapping[str, str]
    url: str


def stack(data: Path, *, port: int, demo: bool, limits: bool, given: Mapping[str, str]) -> Stack:
    """Everything this checkout has; a project that is not there (yet) is left out. May raise SetupError."""
    found = servers(data, given=given)
    told = environment.variables(data, port=port, demo=demo, limits=limits)
    started = tuple(process.name for process in found.processes)
    steps = _steps(demo=demo, after=started)
    engine_port, relay_port, admin_port, *realtime_ports = environment.free_ports(3 + len(_REALTIME))
    migrated = (*started, *(step.name for step in steps if step.name == "migrate-engine"))
    projects = (
        *_engine(engine_port, relay_port=relay_port, data=data, after=migrated),
        *_realtime(realtime_ports, after=tuple(name for name in started if name == "valkey")),
    )
    behind = tuple(process.name for process in projects if process.name in {"engine", *_REALTIME})
    configuration = edge.configuration(port=port, admin_port=admin_port, engine_port=engine_port, realtime_ports=realtime_ports)
    front = edge_process(data, configuration=configuration, url=told["PUBLIC_URL"], admin_port=admin_port, after=behind)
    table = (*found.processes, *steps, *projects, front)
    return Stack(table, {**told, **found.variables}, told["PUBLIC_URL"])


def edge_process(data: Path, *, configuration: edge.Json, url: str, admin_port: int, after: tuple[str, ...] = ()) -> Process:
    """Envoy with `configuration`, which is written into `data`."""
    file = data / "envoy.json"
    environment.write_private(file, json.dumps(configuration, indent=1))
    options = ("--concurrency", "1", "--disable-hot-restart", "--file-flush-interval-msec", "500")
    # Component "main" warns of every ordinary stop.
    log = ("--log-level", "warn", "--component-log-level", "main:error", "--log-format", "%l %n: %v")
    return Process(
        "edge",
        command=(str(edge.ENVOY), *options, *log, "-c", str(file)),
        probe=f"http://127.0.0.1:{admin_port}/ready",
        url=url,
        after=after,
        terminal="errors",  # standard output is the access log
    )


def _steps(*, demo: bool, after: tuple[str, ...]) -> tuple[Process, ...]:
    folders = {name: ROOT / name if name == "engine" else ROOT / "apps" / name for name in SERVICES}
    steps = [
        Process(
            f"migrate-{name}",
            command=(*_MANAGE, name, "migrate", "--noinput"),
            after=after,
            once=True,
            terminal="errors",
        )
        for name, folder in folders.items()
        if (folder / "migrations").is_dir() and (folder / "settings.py").is_file()
    ]
    if demo and (ROOT / "engine/management/commands/seed_demo.py").is_file():
        seed = Process(
            "seed-demo",
            command=(*_MANAGE, "engine", "seed_demo", "--json"),
            after=(*after, "migrate-engine"),
            once=True,
            terminal="errors",
        )
        steps.append(seed)
    return tuple(steps)


def _engine(port: int, *, relay_port: int, data: Path, after: tuple[str, ...]) -> tuple[Process, ...]:
    url, relay_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{relay_port}"
    granian = (str(_BIN / "granian"), "--interface", "wsgi", "engine.wsgi:application", "--host", "127.0.0.1")
    workers = (
        "--workers",
        "2",
        "--blocking-threads",
        "8",
        "--blocking-threads-idle-timeout",
        "600",
        "--no-ws",
        "--respawn-failed-workers",
    )
    celery = (str(_BIN / "celery"), "--quiet", "-A", "engine.tasks")
    worker = ("worker", "--pool", "threads", "--concurrency", "2", "--without-gossip", "--without-mingle")
    files = {"engine": "wsgi.py", "relay": "management/commands/relay.py", "worker": "tasks.py", "beat": "tasks.py"}
    table = (
        Process("engine", command=(*granian, "--port", str(port), *workers), probe=f"{url}/readyz", url=url, after=after),
        Process(
            "relay",
            command=(*_MANAGE, "engine", "relay", "--health-port", str(relay_port)),
            probe=f"{relay_url}/readyz",
            url=relay_url,
            after=after,
        ),
        Process("worker", command=(*celery, *worker, "--loglevel", "INFO"), after=after),
        Process("beat", command=(*celery, "beat", "--schedule", str(data / "beat"), "--loglevel", "INFO"), after=after),
    )
    return tuple(process for process in table if (ROOT / "engine" / files[process.name]).is_file())


def _realtime(ports: Sequence[int], *, after: tuple[str, ...]) -> Iterator[Process]:
    if not (ROOT / "realtime/asgi.py").is_file():
        return
    for name, port in zip(_REALTIME, ports, strict=True):
        url = f"http://127.0.0.1:{port}"
        command = (sys.executable, "-m", "realtime", "--port", str(port))
        # It sends its clients away one after the other; when the edge has gone before it, it has none and ends at once.
        yield Process(name, command=command, probe=f"{url}/readyz", url=url, after=after, stop_within_s=25)
