"""The table of what runs on one machine, and in which order."""

import json
import secrets
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from apps.local import edge, environment
from apps.local.environment import ROOT, SERVICES
from apps.local.processes import Process
from apps.local.servers import servers

_BIN = Path(sys.executable).parent
_MANAGE = (sys.executable, str(ROOT / "manage.py"))
# Two, so that one serves while the other is restarted.
_REALTIME = ("realtime-1", "realtime-2")
_CONSUMERS = ("records", "billing", "notifications")
_WORKER = ("worker", "--pool", "threads", "--concurrency", "2", "--without-gossip", "--without-mingle", "--loglevel", "INFO")


@dataclass(frozen=True)
class Stack:
    """Processes in their order, the variables all of them get, and the address of the edge."""

    table: tuple[Process, ...]
    variables: Mapping[str, str]
    url: str


@dataclass(frozen=True)
class Outside:
    """What stands in for parties outside; nothing where there is no demo."""

    processes: tuple[Process, ...] = ()
    ports: Mapping[str, int] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)


def stack(data: Path, *, port: int, demo: bool, limits: bool, given: Mapping[str, str], replicas: int = 0) -> Stack:
    """Everything on this machine. May raise SetupError."""
    found = servers(data, given=given, replicas=replicas)
    told = environment.variables(data, port=port, demo=demo, limits=limits)
    started = tuple(process.name for process in found.processes)
    ports = dict(zip(SERVICES, environment.free_ports(len(SERVICES)), strict=True))
    addresses = {f"{name.upper()}_URL": f"http://127.0.0.1:{where}" for name, where in ports.items()}
    admin_port, *realtime_ports = environment.free_ports(1 + len(_REALTIME))
    migrations = _migrations(after=started)
    projects = (
        *_engine(ports["engine"], data=data, after=(*started, "migrate-engine")),
        *(process for name in SERVICES[1:] for process in _service(name, ports[name], data=data, after=started)),
        *_realtime(realtime_ports, after=tuple(name for name in started if name == "valkey")),
    )
    seeds = _seeds(after=tuple(step.name for step in migrations)) if demo else ()
    outside = _outside_parties(billing=ports["billing"]) if demo else Outside()
    behind = tuple(process.name for process in projects if process.name in {*SERVICES, *_REALTIME})
    routed = {**ports, **outside.ports}
    configuration = edge.configuration(port=port, admin_port=admin_port, services=routed, realtime_ports=realtime_ports)
    front = edge_process(data, configuration=configuration, url=told["PUBLIC_URL"], admin_port=admin_port, after=behind)
    table = (*found.processes, *migrations, *outside.processes, *projects, *seeds, front)
    return Stack(table, {**told, **found.variables, **addresses, **outside.variables}, told["PUBLIC_URL"])


def _outside_parties(*, billing: int) -> Outside:
    """The demo's stand-ins for who cannot be reached: a mailbox for e-mail and SMS, and a card provider that moves no money."""
    page, smtp, cards = environment.free_ports(3)
    key, secret = secrets.token_urlsafe(), secrets.token_urlsafe()
    webhook = f"http://127.0.0.1:{billing}/api/billing/v1/webhooks/stripe"
    mailbox = (sys.executable, "-m", "apps.local.mailbox", "--port", str(page), "--smtp-port", str(smtp))
    provider = (sys.executable, "-m", "apps.local.stripe_server", "--port", str(cards))
    return Outside(
        processes=(
            Process("mailbox", command=mailbox, url=f"http://127.0.0.1:{page}"),
            Process("cards", command=(*provider, "--webhook", webhook, f"--secret={secret}", f"--key={key}")),
        ),
        ports={"mailbox": page},
        variables={
            "SMTP_URL": f"smtp://127.0.0.1:{smtp}",
            "TWILIO_URL": f"http://127.0.0.1:{page}",
            "TWILIO_AUTH_TOKEN": secrets.token_urlsafe(),
            "STRIPE_API_BASE": f"http://127.0.0.1:{cards}",
            "STRIPE_API_KEY": key,
            "STRIPE_WEBHOOK_SECRET": secret,
        },
    )


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


def _migrations(*, after: tuple[str, ...]) -> tuple[Process, ...]:
    return tuple(
        Process(
            f"migrate-{name}",
            project=name,
            command=(*_MANAGE, name, "migrate", "--noinput"),
            after=after,
            once=True,
            terminal="errors",
        )
        for name in SERVICES
    )


def _seeds(*, after: tuple[str, ...]) -> tuple[Process, ...]:
    """The demo's data: the engine's first, for the others ask it what there is."""
    folders = {name: ROOT / name if name == "engine" else ROOT / "apps" / name for name in SERVICES}
    names = [name for name, folder in folders.items() if (folder / "management/commands/seed_demo.py").is_file()]
    return tuple(
        Process(
            f"seed-{name}",
            project=name,
            command=(*_MANAGE, name, "seed_demo", "--json"),
            after=after if name == "engine" else (*after, "seed-engine", "engine"),
            once=True,
            terminal="errors",
        )
        for name in names
    )


def _engine(port: int, *, data: Path, after: tuple[str, ...]) -> Iterator[Process]:
    relay_port, consumer_port = environment.free_ports(2)
    celery, schedule = _celery("engine.tasks"), ("--schedule", str(data / "beat"))
    yield _web("engine", "engine", port, workers=2, threads=8, after=after)
    yield _listening("relay", "engine", "relay", relay_port, after=after)
    yield _listening("engine-consumer", "engine", "consume", consumer_port, after=after)
    yield Process("worker", project="engine", command=(*celery, *_WORKER), after=after)
    yield Process("beat", project="engine", command=(*celery, "beat", *schedule, "--loglevel", "INFO"), after=after)


def _service(name: str, port: int, *, data: Path, after: tuple[str, ...]) -> Iterator[Process]:
    """One of the four beside the engine: its HTTP, its consumer of others' facts, and one Celery process, ticks included."""
    after = (*after, f"migrate-{name}")
    yield _web(name, f"apps.{name}", port, workers=1, threads=4, after=after)
    if name in _CONSUMERS:
        yield _listening(f"{name}-consumer", name, "consume", environment.free_ports(1)[0], after=after)
    beat = ("--beat", "--schedule", str(data / f"beat-{name}"))
    yield Process(f"{name}-worker", project=name, command=(*_celery(f"apps.{name}.tasks"), *_WORKER, *beat), after=after)


def _web(name: str, package: str, port: int, *, workers: int, threads: int, after: tuple[str, ...]) -> Process:
    url = f"http://127.0.0.1:{port}"
    granian = (
        str(_BIN / "granian"),
        "--interface",
        "wsgi",
        f"{package}.wsgi:application",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    )
    # More than the edge ever opens: beyond its `backpressure` a worker accepts no connection, although the others may be idle.
    threading = ("--blocking-threads", str(threads), "--blocking-threads-idle-timeout", "600", "--backpressure", "2048")
    command = (*granian, "--workers", str(workers), *threading, "--no-ws", "--respawn-failed-workers")
    return Process(name, project=name, command=command, probe=f"{url}/readyz", url=url, after=after)


def _listening(name: str, project: str, command: str, port: int, *, after: tuple[str, ...]) -> Process:
    url = f"http://127.0.0.1:{port}"
    line = (*_MANAGE, project, command, "--health-port", str(port))
    return Process(name, project=project, command=line, probe=f"{url}/readyz", url=url, after=after)


def _celery(module: str) -> tuple[str, ...]:
    return (str(_BIN / "celery"), "--quiet", "-A", module)


def _realtime(ports: Sequence[int], *, after: tuple[str, ...]) -> Iterator[Process]:
    for name, port in zip(_REALTIME, ports, strict=True):
        url = f"http://127.0.0.1:{port}"
        command = (sys.executable, "-m", "realtime", "--port", str(port))
        # It sends its clients away one after the other; when the edge has gone before it, it has none and ends at once.
        yield Process(name, command=command, probe=f"{url}/readyz", url=url, after=after, stop_within_s=25)
