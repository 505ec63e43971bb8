"""The edge's rules, against a real Envoy with two stand-ins behind it."""

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from apps.local import edge
from apps.local.environment import free_ports
from apps.local.probes import answers
from apps.local.processes import guarded
from apps.local.stack import edge_process
from tests.integration.local.machine import UPSTREAM, Copy, get, ready, running, started, told, until


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copy]:
    with started(tmp_path_factory.mktemp("edge") / "data", "--without-servers") as found:
        yield ready(found)


def socket_at(copy: Copy) -> ClientConnection:
    """A socket that does not wait for the last word: the edge keeps a connection for a second after both have closed it."""
    return connect(f"ws://127.0.0.1:{copy.port('edge')}/ws/v1/live", close_timeout=0.1)


def received(copy: Copy, headers: Mapping[str, str]) -> list[tuple[str, str]]:
    """The headers that reached engine."""
    answer, body = copy.get("/", headers=headers)
    assert answer.status == 200
    assert told(body)["name"] == "engine"
    return [(name, value) for name, value in told(body)["headers"]]


def values(headers: list[tuple[str, str]], name: str) -> list[str]:
    return [value for key, value in headers if key == name]


@pytest.mark.parametrize("path", ["/", "/calendar/", "/api/engine/v1/holds", "/readyzz", "/wsx"])
def test_pages_and_apis_go_to_engine(copy: Copy, path: str) -> None:
    assert told(copy.get(path)[1])["name"] == "engine"


def test_sockets_go_to_realtime(copy: Copy) -> None:
    with socket_at(copy) as socket:
        socket.send("hello")
        assert socket.recv(5) in ("realtime-1: hello", "realtime-2: hello")


def test_the_next_socket_goes_to_the_process_that_has_fewer(copy: Copy) -> None:
    with ExitStack() as opened:
        sockets = [opened.enter_context(socket_at(copy)) for _ in range(20)]
        for socket in sockets:
            socket.send("")
        counts = Counter(socket.recv(5) for socket in sockets)
    assert sorted(counts) == ["realtime-1: ", "realtime-2: "]
    assert min(counts.values()) >= 5


def test_a_process_that_is_not_ready_gets_no_more_sockets(copy: Copy) -> None:
    def where() -> str:
        with socket_at(copy) as socket:
            socket.send("")
            return str(socket.recv(5))

    copy.get("/close", process="realtime-1")
    until(lambda: {where() for _ in range(10)} == {"realtime-2: "}, what="all sockets go to the other one")
    copy.get("/open", process="realtime-1")
    until(lambda: "realtime-1: " in {where() for _ in range(10)}, what="it gets sockets again")


def test_changes_that_are_waited_for_go_to_realtime_and_all_others_to_engine(copy: Copy) -> None:
    address = "/api/engine/v1/calendars/c/changes?since=1"
    assert told(copy.get(f"{address}&wait=5")[1])["name"].startswith("realtime")
    assert told(copy.get(address)[1])["name"] == "engine"
    assert told(copy.get("/api/engine/v1/calendars/c/snapshot?wait=5")[1])["name"] == "engine"


def test_no_other_address_can_be_upgraded(copy: Copy) -> None:
    with pytest.raises(InvalidStatus) as refused, connect(f"ws://127.0.0.1:{copy.port('edge')}/calendar/"):
        pass
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize(
    "path",
    ["/healthz", "/readyz", "/metrics", "/metrics/x", "/readyz?x=1", "//readyz", "/./readyz", "/%72eadyz", "/a/../readyz"],
)
def test_operators_addresses_do_not_exist_outside(copy: Copy, path: str) -> None:
    answer, body = copy.get(path)
    assert answer.status == 404
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert json.loads(body)["code"] == "not_found"


@pytest.mark.parametrize("name", ["X-Forwarded-For", "x-forwarded-for", "X_Forwarded_For"])
def test_a_client_cannot_say_where_it_is(copy: Copy, name: str) -> None:
    headers = received(copy, {name: "203.0.113.9"})
    assert values(headers, "x-forwarded-for") == ["127.0.0.1"]
    assert not [name for name, _ in headers if "_" in name]  # WSGI would read it as the one above


def test_a_client_cannot_say_when_it_began_to_wait(copy: Copy) -> None:
    before = time.time()
    headers = received(copy, {"X-Request-Start": "1"})
    (start,) = values(headers, "x-request-start")
    assert before - 1 < float(start) < time.time() + 1


def test_headers_that_only_the_edge_may_set_are_removed(copy: Copy) -> None:
    claims = {
        "Forwarded": "for=203.0.113.9",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
        "X-Real-IP": "203.0.113.9",
        "X-Request-Id": "mine",
        "X-Envoy-Upstream-Rq-Timeout-Ms": "1",
    }
    headers = received(copy, claims)
    names = {name for name, _ in headers}
    assert names.isdisjoint({"forwarded", "x-forwarded-host", "x-real-ip"})
    assert not [name for name in names if name.startswith("x-envoy-")]
    assert values(headers, "x-forwarded-proto") == ["http"]
    assert values(headers, "x-request-id") != ["mine"]


def test_answers_name_us_and_the_request_and_nothing_of_envoy(copy: Copy) -> None:
    answer, body = copy.get("/")
    assert answer.headers["server"] == "healthflow"
    assert answer.headers["x-request-id"] == dict(told(body)["headers"])["x-request-id"]
    assert not [name for name in answer.headers if name.lower().startswith("x-envoy")]


def test_the_access_log_holds_neither_queries_nor_the_tokens_of_patients(copy: Copy) -> None:
    copy.get("/book/demo/?name=Erika")
    copy.get("/manage/t0k3n/")
    log = copy.data / "logs" / "edge.log"
    until(lambda: '"path":"/manage/-/"' in log.read_text(), what="both requests are in the log")
    assert '"path":"/book/demo/"' in log.read_text()
    assert "Erika" not in log.read_text()
    assert "t0k3n" not in log.read_text()
    assert '"message":"request"' not in copy.everything_said()


def test_a_process_that_is_away_is_a_problem_to_repeat_and_back_at_once(tmp_path: Path) -> None:
    port, admin_port, engine_port, *realtime_ports = free_ports(5)
    configuration = edge.configuration(
        port=port, admin_port=admin_port, services={"engine": engine_port}, realtime_ports=realtime_ports
    )
    front = edge_process(tmp_path, configuration=configuration, url="", admin_port=admin_port)
    with running(guarded(front)):
        until(lambda: answers(front.probe), what="the edge is ready")
        answer, body = get("/api/engine/v1/clinics/demo", port=port)
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert {name: json.loads(body)[name] for name in ("code", "status", "retryable")} == {
            "code": "unavailable",
            "status": 503,
            "retryable": True,
        }
        assert set(json.loads(body)) == {"type", "title", "status", "detail", "code", "retryable"}
        with running((sys.executable, str(UPSTREAM), "engine", str(engine_port))):
            until(lambda: answers(f"http://127.0.0.1:{engine_port}/readyz"), what="engine is ready")
            assert get("/", port=port)[0].status == 200
