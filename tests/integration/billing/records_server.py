"""Records as billing sees it: one internal address over real HTTP, which lets only billing in."""

import json
import os
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jwt
from jwt.algorithms import OKPAlgorithm


@dataclass
class Records:
    """Who the patients are; `down` answers 503 to everything."""

    patients: dict[str, dict[str, Any]] = field(default_factory=dict)
    down: bool = False
    asked: list[str] = field(default_factory=list)
    refused: int = 0


def handler(records: Records) -> type[BaseHTTPRequestHandler]:
    """What an HTTP server does with a request to `records`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if records.down:
                return self._write(503, {})
            if not _is_billing(self.headers.get("Authorization", "")):
                records.refused += 1
                return self._write(401, {})
            patient = urlsplit(self.path).path.removeprefix("/internal/v1/patients/").removesuffix("/billing")
            records.asked.append(patient)
            known = records.patients.get(patient)
            return self._write(200 if known else 404, known or {})

        def _write(self, status: int, answer: dict[str, Any]) -> None:
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
            """Quiet."""

    return Handler


def _is_billing(header: str) -> bool:
    keys = {key["kid"]: key for key in json.loads(Path(os.environ["SERVICE_JWKS_FILE"]).read_text())["keys"]}
    try:
        key: Any = OKPAlgorithm.from_jwk(keys["billing"])
        claims = jwt.decode(
            header.removeprefix("Bearer "), key, algorithms=["EdDSA"], audience="records", issuer="healthflow/service"
        )
    except jwt.InvalidTokenError:
        return False
    return bool(claims["sub"] == "billing")
