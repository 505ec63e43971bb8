"""`standin.py <data> [--without-servers]`: `./manage.py up` with stand-ins for the projects, behind a real edge."""

import sys
from pathlib import Path

from apps.local import edge, environment, state
from apps.local.processes import Process
from apps.local.servers import Servers, servers
from apps.local.serving import serve
from apps.local.stack import Stack, edge_process

UPSTREAM = str(Path(__file__).with_name("upstream.py"))


def upstream(name: str, *, port: int, after: tuple[str, ...]) -> Process:
    url = f"http://127.0.0.1:{port}"
    return Process(name, command=(sys.executable, UPSTREAM, name, str(port)), probe=f"{url}/readyz", url=url, after=after)


def standin(data: Path, *, with_servers: bool) -> Stack:
    port, first, second, third, admin_port = environment.free_ports(5)
    found = servers(data, given={}) if with_servers else Servers((), {})
    after = tuple(process.name for process in found.processes)
    told = environment.variables(data, port=port, demo=True, limits=True)
    logins = '{"clinic": "demo", "logins": [{"name": "desk@demo.example", "role": "front_desk"}]}'
    seed = Process("seed-engine", command=(sys.executable, "-c", f"print({logins!r})"), after=after, once=True, terminal="errors")
    front = edge_process(
        data,
        configuration=edge.configuration(
            port=port, admin_port=admin_port, services={"engine": first}, realtime_ports=[second, third]
        ),
        url=told["PUBLIC_URL"],
        admin_port=admin_port,
        after=("engine", "realtime-1", "realtime-2"),
    )
    names = {"engine": first, "realtime-1": second, "realtime-2": third}
    behind = (upstream(name, port=its, after=after) for name, its in names.items())
    return Stack((*found.processes, seed, *behind, front), {**told, **found.variables}, told["PUBLIC_URL"])


if __name__ == "__main__":
    folder = environment.private_folder(Path(sys.argv[1]))
    with state.held(folder):
        what = standin(folder, with_servers="--without-servers" not in sys.argv)
        sys.exit(serve(what, data=folder, stop_hint="Ctrl-C stops everything."))
