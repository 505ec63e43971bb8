"""A push process that is told to stop: nobody is let in, everybody is told when to come back, and no event is lost."""

import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Event, Thread
from typing import cast

import pytest

from apps.local import edge
from apps.local.environment import free_ports
from apps.local.probes import answers
from apps.local.processes import guarded
from apps.local.stack import edge_process
from tests.fleet import Fleet
from tests.integration.local.machine import get, running
from tests.integration.realtime.live import CLINIC, Feed, Server, Socket, daphne, deaf, until
from tests.reducer import Screen

SOCKETS = 400
GONE_WITHIN_S = 25


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Server]:
    with daphne(tmp_path / "victim.log") as started:
        yield started


def stop(server: Server) -> float:
    """Tells the process to stop; how long it took, in seconds."""
    began = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(GONE_WITHIN_S) == 0
    return time.monotonic() - began


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_that_nobody_uses_stops_at_once(victim: Server, number: signal.Signals) -> None:
    began = time.monotonic()
    victim.process.send_signal(number)
    assert victim.process.wait(5) == 0
    assert time.monotonic() - began < 2


def test_a_client_is_told_when_to_come_back_and_closed(victim: Server, token: Callable[..., str], feed: Feed) -> None:
    calendar = feed.calendar()
    with Socket(victim).signed_in(token(CLINIC)) as socket:
        socket.subscribe(calendar)
        victim.process.send_signal(signal.SIGTERM)
        assert 1_000 <= socket.hear("reconnect")["after_ms"] <= 2_000
        assert socket.close_code() == 4503
    assert victim.process.wait(5) == 0


def test_who_comes_while_it_stops_is_sent_on(victim: Server) -> None:
    with deaf(victim):
        # It has to wait for this one, which does not answer its close.
        victim.process.send_signal(signal.SIGTERM)
        until(lambda: get("/readyz", port=victim.port)[0].status == 503, what="it is not ready any more")
        with Socket(victim) as late:
            assert late.hear("reconnect")["after_ms"] >= 1_000
            assert late.close_code() == 4503
        assert victim.process.wait(5) == 0


def test_both_processes_are_restarted_under_load_and_nobody_misses_an_event(
    tmp_path: Path, token: Callable[..., str], feed: Feed
) -> None:
    calendars = [feed.calendar() for _ in range(4)]
    port, admin_port, *ports = free_ports(4)
    configuration = edge.configuration(port=port, admin_port=admin_port, services={"engine": 1}, realtime_ports=ports)
    front = edge_process(tmp_path, configuration=configuration, url="", admin_port=admin_port)

    def load(calendar: str) -> Screen:
        head = cast(bytes, feed.redis.get(f"live:head:{calendar}"))
        return Screen(calendar, int(head.rpartition(b" ")[2]), {}, [])

    last, stopped = 0, Event()

    def publish() -> None:
        nonlocal last
        while not stopped.wait(0.05):
            last += 1
            for calendar in calendars:
                feed.publish(calendar, last)

    load_thread = Thread(target=publish)
    fleet = Fleet(f"ws://127.0.0.1:{port}/ws/v1/live", token=token(CLINIC), calendars=calendars * (SOCKETS // 4), load=load)
    with ExitStack() as opened:
        servers = [opened.enter_context(daphne(tmp_path / f"{its}.log", its)) for its in ports]
        opened.enter_context(running(guarded(front)))
        until(lambda: answers(front.probe) or None, what="the edge is ready")
        opened.enter_context(fleet)
        until(lambda: fleet.all_are_in() or None, what="all are connected")
        load_thread.start()
        for number, its in enumerate(ports):
            had = len(fleet.hints)
            took = stop(servers[number])
            opened.enter_context(daphne(tmp_path / f"{its}.log", its))
            until(lambda: fleet.all_are_in() or None, what="all are back")
            returns = [at + after_ms / 1000 for at, after_ms in fleet.hints[had:]]
            print(f"{len(returns)} clients sent away in {took:.1f} s, to come back over {max(returns) - min(returns):.1f} s")
            assert len(returns) >= SOCKETS // 3
            assert max(Counter(int(at * 10) for at in returns).values()) < len(returns) / 2, "too many in one tenth of a second"
        stopped.set()
        load_thread.join()
        until(lambda: fleet.all_know(dict.fromkeys(calendars, last)) or None, what="all know everything")

    assert sum(fleet.closes.values()) == fleet.closes[4503] == len(fleet.hints)
    assert all(recovered for _, recovered in fleet.answers[SOCKETS:]), "somebody had to start afresh"
