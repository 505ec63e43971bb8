"""What the processes of one machine are told: their secrets, their addresses, and ports nobody else has."""

import importlib.util
import json
import os
import secrets
import socket
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from apps.kernel.tokens import private_key, public_jwk

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("engine", "auth", "records", "billing", "notifications")
OWNED = {
    **{f"DATABASE_URL_{name.upper()}": (name,) for name in SERVICES},
    **{f"SERVICE_KEY_FILE_{name.upper()}": (name,) for name in SERVICES},
    "DATABASE_URL_ENGINE_REPLICA": ("engine",),
    "SEALING_KEY_FILE": ("records",),
    "KMS_URL": ("records",),
    "TOKEN_SIGNING_KEY_FILE": ("auth",),
}
"""Variables that are told to their owners alone: what another process does not have, it cannot lose."""
# Below 32768 lie no ephemeral ports, so no outgoing connection can take a port between choosing and binding it.
_PORTS = range(10_000, 32_768)


class SetupError(Exception):
    """Something outside must be mended first; the text says what, for a person at a terminal."""


def wheel(package: str) -> Path:
    """The folder of an installed package, found without running it: two of those with servers are slow to import."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise SetupError(f"The package {package} is not installed; ./manage.py installs it with the others.")
    return Path(found.origin).parent


def private_folder(path: Path) -> Path:
    """`path`, made with mode 0700 when it was missing."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def write_private(path: Path, text: str) -> None:
    """Replaces `path` in one step; only its owner can read it, at no moment anybody else."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write(text)
    new.replace(path)


def secret(path: Path, *, make: Callable[[], str] = secrets.token_urlsafe) -> str:
    """The text kept in `path`, made on first use and the same ever after."""
    if not path.is_file():
        write_private(path, make())
    return path.read_text()


def free_ports(count: int) -> list[int]:
    """`count` different ports of 127.0.0.1 that nobody listens on, all below 32768."""
    with ExitStack() as held:
        ports: list[int] = []
        while len(ports) < count:
            port = secrets.choice(_PORTS)
            listener = held.enter_context(socket.socket())
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            ports.append(port)
        return ports


def require_free(port: int) -> None:
    """Raises SetupError when something listens on 127.0.0.1:`port` already."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            raise SetupError(f"Port {port} cannot be used ({error.strerror}); name another one with --port.") from error


def keys(data: Path) -> dict[str, str]:
    """The variables that carry secrets and keys, kept in `data`/secrets: equal for equal folders."""
    folder = private_folder(data / "secrets")
    signing_key, public_keys = folder / "token-signing-key.pem", folder / "token-jwks.json"
    public = public_jwk(_ed25519(signing_key))
    only_this = json.dumps({"keys": [public]})
    # `./manage.py auth rotate_keys` keeps others beside it.
    if public["kid"] not in secret(public_keys, make=lambda: only_this):
        write_private(public_keys, only_this)
    return {
        **_service_keys(folder),
        **_sealing_keys(folder),
        "KMS_URL": f"file://{folder / 'kms-keys.json'}",
        "SECRET_KEY": secret(folder / "secret-key"),
        "TOKEN_SIGNING_KEY_FILE": str(signing_key),
        "TOKEN_JWKS_FILE": str(public_keys),
    }


def variables(data: Path, *, port: int, demo: bool, limits: bool) -> dict[str, str]:
    """All variables of the processes of one machine, except where the servers are."""
    return keys(data) | {
        "PUBLIC_URL": f"http://127.0.0.1:{port}",
        "ALLOWED_HOSTS": "127.0.0.1,localhost",
        "DEMO_CLINIC": "demo" if demo else "",
        "RATE_LIMITS": "on" if limits else "off",
        **({} if limits else {"HOLDS_A_SECOND": "0"}),
        "HEALTHFLOW_DATA": str(data),
        "AUDIT_EXPORT_URL": f"file://{data / 'audit'}",
        "PYTHONUNBUFFERED": "1",
        "PYTHONTZPATH": "",  # time zones come from the locked tzdata, the same on every machine
    }


def own(told: Mapping[str, str], *, project: str) -> dict[str, str]:
    """The variables that a process of `project` may have; of no project, those that nobody owns."""
    return {name: value for name, value in told.items() if project in OWNED.get(name, (project,))}


def _service_keys(folder: Path) -> dict[str, str]:
    """A key for each service, by which the others know it, and the public halves of all."""
    files = {name: folder / f"service-key-{name}.pem" for name in SERVICES}
    public = [{**public_jwk(_ed25519(file)), "kid": name} for name, file in files.items()]
    write_private(folder / "service-jwks.json", json.dumps({"keys": public}))
    found = {f"SERVICE_KEY_FILE_{name.upper()}": str(file) for name, file in files.items()}
    return {**found, "SERVICE_JWKS_FILE": str(folder / "service-jwks.json")}


def _sealing_keys(folder: Path) -> dict[str, str]:
    """The key pair of patients' envelopes: whoever has the public half seals, records alone opens."""
    private, public = folder / "sealing-keys.json", folder / "sealing-jwks.json"
    keys = json.loads(secret(private, make=_sealing_key))["keys"]
    write_private(public, json.dumps({"keys": [{name: key[name] for name in key if name != "d"} for key in keys]}))
    return {"SEALING_KEY_FILE": str(private), "SEALING_JWKS_FILE": str(public)}


def _sealing_key() -> str:
    from joserfc.jwk import ECKey  # slow to import, and needed once

    key = ECKey.generate_key("P-256", {"use": "enc", "alg": "ECDH-ES"}, private=True)
    return json.dumps({"keys": [{**key.as_dict(private=True), "kid": key.thumbprint()}]})


def _ed25519(file: Path) -> Ed25519PrivateKey:
    try:
        return private_key(secret(file, make=_signing_key).encode())
    except ValueError as refused:
        raise SetupError(f"{file} cannot be used: {refused}.") from None


def _signing_key() -> str:
    return (
        Ed25519PrivateKey.generate()
        .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        .decode()
    )
