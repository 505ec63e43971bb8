"""The one port of the machine: Envoy in front of the processes, configured by a pure function."""

from collections.abc import Mapping, Sequence
from typing import Any

from apps.local.environment import wheel

ENVOY = wheel("envoy") / "_bin" / "envoy"
_HTTP = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_EARLY = "envoy.http.early_header_mutation.header_mutation"
_PROBLEMS = "https://healthflow.example/problems/"
# Operators' addresses: each process answers them on its own port, nobody through the edge.
_INTERNAL = ("/healthz", "/readyz", "/metrics", "/internal")
# Pages beside the API of a service; all else is the engine's.
_PAGES = {"auth": ("/login", "/logout", "/account", "/invite", "/reset"), "mailbox": ("/demo/mailbox",)}
# Their paths carry a secret, which no log may hold.
_SECRET_PATHS = ("/manage/", "/invite/", "/reset/", "/api/engine/v1/manage/", "/api/notifications/v1/unsubscribe/")
# Only the edge says where a request came from; what a client claims in these is removed before anything reads it.
_CLAIMS = (
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-real-ip",
    "x-request-id",
)

Json = dict[str, Any]


def configuration(*, port: int, admin_port: int, services: Mapping[str, int], realtime_ports: Sequence[int]) -> Json:
    """Envoy's configuration: 127.0.0.1:`port` to the services and push processes; `admin_port` answers /ready and /stats only.

    `services` are ports by name: the engine, and those of the others that are there.
    """
    return {
        "admin": {
            "address": _address(admin_port),
            "allow_paths": [{"exact": "/ready"}, {"prefix": "/stats"}],
        },
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": _typed(
                        "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                        max_active_downstream_connections=50_000,
                    ),
                }
            ]
        },
        "static_resources": {
            "listeners": [_listener(port, others=[name for name in services if name != "engine"])],
            "clusters": [
                *(_cluster(name, ports=[where], connections=1_024) for name, where in services.items()),
                _cluster("realtime", ports=realtime_ports, connections=50_000) | _to_who_is_ready(),
            ],
        },
    }


def _listener(port: int, *, others: Sequence[str]) -> Json:
    manager = _typed(
        _HTTP,
        stat_prefix="edge",
        codec_type="HTTP1",
        server_name="healthflow",
        **_identity(),
        **_limits(),
        http_filters=[
            {
                "name": "envoy.filters.http.router",
                "typed_config": _typed("envoy.extensions.filters.http.router.v3.Router", suppress_envoy_headers=True),
            }
        ],
        upgrade_configs=[{"upgrade_type": "websocket", "enabled": False}],
        access_log=_access_logs(),
        local_reply_config=_local_replies(),
        route_config={
            "name": "edge",
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": _routes(others)}],
            # Set here, because Envoy's own appending names the machine's address where the peer is on loopback.
            "request_headers_to_add": [
                {
                    "header": {"key": "x-forwarded-for", "value": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"},
                    "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
                },
                {
                    # By which a service knows how long a request has stood in line.
                    "header": {"key": "x-request-start", "value": "%START_TIME(%s.%3f)%"},
                    "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
                },
            ],
            "request_headers_to_remove": ["x-envoy-external-address"],
        },
    )
    return {
        "name": "edge",
        "address": _address(port),
        # Without this a second edge on the same port would start and take half of the connections.
        "enable_reuse_port": False,
        "per_connection_buffer_limit_bytes": 65_536,
        "filter_chains": [{"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}],
    }


def _identity() -> Json:
    """Who asks: the peer's address, whatever the headers say, and one request id of our own."""
    mutations: list[Json] = [{"remove": name} for name in _CLAIMS]
    mutations.append({"remove_on_match": {"key_matcher": {"prefix": "x-envoy-"}}})
    return {
        "use_remote_address": True,
        "skip_xff_append": True,
        "early_header_mutation_extensions": [
            {
                "name": _EARLY,
                "typed_config": _typed(
                    "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
                    mutations=mutations,
                ),
            }
        ],
        "generate_request_id": True,
        "always_set_request_id_in_response": True,
    }


def _limits() -> Json:
    return {
        "max_request_headers_kb": 32,
        "request_headers_timeout": "10s",
        "request_timeout": "60s",
        "stream_idle_timeout": "60s",
        "common_http_protocol_options": {
            "idle_timeout": "75s",
            "max_headers_count": 100,
            # WSGI reads X_Forwarded_For and X-Forwarded-For as one variable.
            "headers_with_underscores_action": "DROP_HEADER",
        },
        # So that /./readyz and //readyz are what they mean.
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
    }


def _routes(others: Sequence[str]) -> list[Json]:
    internal: list[Json] = [{"match": {"path_separated_prefix": path}, "direct_response": {"status": 404}} for path in _INTERNAL]
    polls = {
        "match": {
            "safe_regex": {"regex": "/api/engine/v1/calendars/[^/]+/changes"},
            "query_parameters": [{"name": "wait", "present_match": True}],
            "headers": [{"name": ":method", "string_match": {"exact": "GET"}}],
        },
        # It waits for up to 25 s, on purpose, and must not hold a thread of engine for that.
        "route": {"cluster": "realtime", "timeout": "35s", "retry_policy": _retries()},
    }
    sockets = {
        "match": {"prefix": "/ws/"},
        "route": {
            "cluster": "realtime",
            # A socket lives for hours; the server's heartbeat every 25 s keeps a healthy one from idling.
            "timeout": "0s",
            "idle_timeout": "120s",
            "upgrade_configs": [{"upgrade_type": "websocket", "enabled": True}],
            "retry_policy": _retries(),
        },
    }
    pages = [_route(name, path) for name in others for path in (f"/api/{name}", *_PAGES.get(name, ()))]
    everything = {"match": {"prefix": "/"}, **_to("engine")}
    return [*internal, polls, sockets, *pages, everything]


def _route(cluster: str, path: str) -> Json:
    return {"match": {"path_separated_prefix": path}, **_to(cluster)}


def _to(cluster: str) -> Json:
    return {"route": {"cluster": cluster, "timeout": "30s", "retry_policy": _retries()}}


def _retries() -> Json:
    # Only what no process has seen: a POST that was sent may have been done. Five tries bridge a restart of about 1 s.
    return {
        "retry_on": "connect-failure,reset-before-request",
        "num_retries": 5,
        "retry_back_off": {"base_interval": "0.1s", "max_interval": "0.5s"},
    }


def _cluster(name: str, *, ports: Sequence[int], connections: int) -> Json:
    endpoints = [{"endpoint": {"address": _address(port)}} for port in ports]
    limits = {
        "max_connections": connections,
        "max_pending_requests": connections,
        "max_requests": connections,
        "max_retries": connections,
    }
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "circuit_breakers": {"thresholds": [limits]},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": _typed(
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                explicit_http_config={"http_protocol_options": {}},
                # Less than the 30 s after which the server closes an idle connection: else a POST can meet the close.
                common_http_protocol_options={"idle_timeout": "20s"},
            )
        },
    }


def _to_who_is_ready() -> Json:
    """New sockets go to the process with the fewest of them that answers /readyz; open ones stay where they are.

    When none is ready (Redis is away), all are tried: their own answers say more than the edge's.
    """
    probe = {
        "http_health_check": {"path": "/readyz"},
        "interval": "0.5s",
        "no_traffic_interval": "0.5s",
        "timeout": "2s",
        "unhealthy_threshold": 2,  # a 503 counts at once
        "healthy_threshold": 1,
    }
    return {"lb_policy": "LEAST_REQUEST", "health_checks": [probe]}


def _access_logs() -> list[Json]:
    """One JSON line a request, without the query; and without the path where that carries a secret."""
    secret = [_path_filter(prefix) for prefix in _SECRET_PATHS]
    hidden = [_access_log(f"{prefix}-/", only=only) for prefix, only in zip(_SECRET_PATHS, secret, strict=True)]
    others = {"and_filter": {"filters": [_path_filter(prefix, invert=True) for prefix in _SECRET_PATHS]}}
    return [_access_log("%PATH(NQ:PATH)%", only=others), *hidden]


def _path_filter(prefix: str, *, invert: bool = False) -> Json:
    header = {"name": ":path", "string_match": {"prefix": prefix}, "invert_match": invert}
    return {"header_filter": {"header": header}}


def _access_log(path: str, *, only: Json) -> Json:
    line = {
        "time": "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%",
        "level": "info",
        "message": "request",
        "method": "%REQ(:METHOD)%",
        "path": path,
        "status": "%RESPONSE_CODE%",
        "ms": "%DURATION%",
        "bytes": "%BYTES_SENT%",
        "from": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
        "to": "%UPSTREAM_CLUSTER%",
        "request_id": "%REQ(X-REQUEST-ID)%",
        "flags": "%RESPONSE_FLAGS%",
    }
    return {
        "name": "envoy.access_loggers.stdout",
        "filter": only,
        "typed_config": _typed("envoy.extensions.access_loggers.stream.v3.StdoutAccessLog", log_format={"json_format": line}),
    }


def _local_replies() -> Json:
    """Answers of the edge itself, in the form of all others: the first mapper that fits, else the last form."""
    return {
        "mappers": [
            {
                "filter": _status("GE", 500),
                # Also for 502 and 504: one code for "not now, and for a write the outcome may be unknown".
                "status_code": 503,
                "headers_to_add": [{"header": {"key": "retry-after", "value": "1"}}],
                "body_format_override": _problem("unavailable", title="Not available at the moment", retryable=True),
            },
            {"filter": _status("EQ", 404), "body_format_override": _problem("not_found", title="Not found")},
        ],
        "body_format": _problem("validation_failed", title="The request is not valid"),
    }


def _status(comparison: str, value: int) -> Json:
    # The runtime key could change the value while Envoy runs; none is ever set.
    return {"status_code_filter": {"comparison": {"op": comparison, "value": {"default_value": value, "runtime_key": "-"}}}}


def _problem(code: str, *, title: str, retryable: bool = False) -> Json:
    members = {
        "type": _PROBLEMS + code.replace("_", "-"),
        "title": title,
        "status": "%RESPONSE_CODE%",
        "detail": title,
        "code": code,
        "retryable": retryable,
    }
    return {"json_format": members, "content_type": "application/problem+json"}


def _address(port: int) -> Json:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _typed(kind: str, **fields: object) -> Json:
    return {"@type": f"type.googleapis.com/{kind}", **fields}
