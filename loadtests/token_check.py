"""What it costs a service to find out who asks: a token that it never saw, one that it remembers, and forgeries. No network.

    .venv/bin/python -m loadtests.token_check

Each turn takes the same number of every kind, one kind after the other, and the medians of all turns are compared, so that a busy
machine makes all of them slower alike. The floor is the bare signature, as `cryptography` checks it.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from apps.kernel.revocations import Revocations
from apps.kernel.tokens import TokenRefused, Verifier, public_jwk, sign
from loadtests.target import machine

TURNS, EACH = 40, 250
TARGET_MS = 0.2
_HERE = Path(__file__).parent / "results"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        times = measure(Path(folder))
    medians = {name: statistics.median(found) for name, found in times.items()}
    (_HERE / "token_check.json").write_text(json.dumps({name: round(value, 3) for name, value in medians.items()}, indent=1) + "\n")
    page = report(times, medians)
    (_HERE / "token_check.md").write_text(page)
    print(page)


def measure(folder: Path) -> dict[str, list[float]]:
    """Microseconds for one, by kind, one number for each turn."""
    key = Ed25519PrivateKey.generate()
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (folder / "jwks.json").write_text(json.dumps({"keys": [public_jwk(key)]}))
    revoked = Revocations()
    revoked.learn([(f"session {number}".encode(), time.time()) for number in range(1000)])
    verifier = Verifier(folder / "jwks.json", revoked=revoked.reason)
    remembered = _token(folder, "ada")
    verifier.claims(remembered)
    message = remembered.rpartition(".")[0].encode()
    signature, public = key.sign(message), key.public_key()
    kinds: dict[str, Callable[[int], object]] = {
        "the bare signature": lambda _: public.verify(signature, message),
        "a token never seen": lambda number: verifier.claims(fresh[number]),
        "a token remembered": lambda _: verifier.claims(remembered),
        "a forged signature": lambda number: _refused(verifier, forged[number]),
        "an unknown key": lambda number: _refused(verifier, unknown[number]),
    }
    times: dict[str, list[float]] = {name: [] for name in kinds}
    for turn in range(TURNS):
        fresh = [_token(folder, f"{turn}.{number}") for number in range(EACH)]
        forged = [token[:-86] + fresh[0][-86:] for token in [*fresh[1:], remembered]]
        unknown = [f"eyJhbGciOiJFZERTQSIsImtpZCI6Im5vYm9keSJ9.{token.partition('.')[2]}" for token in fresh]
        for name, check in kinds.items():
            started = time.perf_counter()
            for number in range(EACH):
                check(number)
            times[name].append((time.perf_counter() - started) / EACH * 1e6)
    return times


def report(times: dict[str, list[float]], medians: dict[str, float]) -> str:
    floor = medians["the bare signature"]
    rows = [
        f"| {name} | {medians[name]:.1f} | {min(found):.1f} to {max(found):.1f} | {medians[name] / floor:.2f} |"
        for name, found in times.items()
    ]
    never = medians["a token never seen"] / 1000
    return "\n".join(
        [
            "# What it costs to check a token",
            "",
            f"{datetime.now(UTC):%Y-%m-%d}, {', '.join(f'{name} {value}' for name, value in machine().items())}. Written by the",
            "command itself:",
            "",
            "    .venv/bin/python -m loadtests.token_check",
            "",
            f"One thread, {TURNS} turns of {EACH} of each kind, 1,000 revocations on the list, no network. The ratio is to the",
            "bare signature, measured in the same turns.",
            "",
            "| kind | median us | of all turns | ratio |",
            "|---|---|---|---|",
            *rows,
            "",
            f"- Never seen: {never:.3f} ms (target {TARGET_MS}): {'kept' if never < TARGET_MS else 'missed'}.",
            "",
        ]
    )


def _token(folder: Path, name: str) -> str:
    return sign(folder / "key.pem", subject=name, clinic="harbor", role="front_desk", seconds=300)


def _refused(verifier: Verifier, token: str) -> None:
    with suppress(TokenRefused):
        verifier.claims(token)
        raise AssertionError("a forgery was taken")


if __name__ == "__main__":
    main()
