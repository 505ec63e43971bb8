"""Envelopes open for their purpose, with our algorithms and keys; everything else is refused by a short word."""

import base64
import json
import secrets
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash
from joserfc import jwe
from joserfc.jwk import ECKey

from apps.local.environment import keys
from apps.records.envelopes import LARGEST, TYPE, EnvelopeRefused, Opener, write_keys

DETAILS = {"name": "CANARY", "email": "ada@example.org"}


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    write_keys(tmp_path / "private.json", public=tmp_path / "public.json", keep=2)
    return tmp_path / "private.json", tmp_path / "public.json"


def sealed(public: Path, plain: str | None = None, **changed: Any) -> str:
    key = json.loads(public.read_text())["keys"][0]
    header = {"alg": "ECDH-ES", "enc": "A256GCM", "kid": key["kid"], "typ": TYPE, **changed}
    header = {name: value for name, value in header.items() if value is not None}
    algorithms = [header["alg"], header["enc"]]
    bare = ECKey.import_key({name: key[name] for name in ("kty", "crv", "x", "y")})
    return jwe.encrypt_compact(header, json.dumps(DETAILS) if plain is None else plain, bare, algorithms=algorithms)


def test_what_was_sealed_is_opened(pair: tuple[Path, Path]) -> None:
    assert Opener(pair[0]).open(sealed(pair[1])) == DETAILS


def test_an_envelope_made_by_the_letter_of_rfc_7518_is_opened(pair: tuple[Path, Path]) -> None:
    """Without the library that opens it: ECDH, Concat KDF with the algorithm's name and 256 bits, AES-GCM."""
    key = json.loads(pair[1].read_text())["keys"][0]
    x, y = (int.from_bytes(base64.urlsafe_b64decode(key[part] + "=")) for part in ("x", "y"))
    own = ec.generate_private_key(ec.SECP256R1())
    mine = own.public_key().public_numbers()
    epk = {"kty": "EC", "crv": "P-256", "x": _text(mine.x.to_bytes(32)), "y": _text(mine.y.to_bytes(32))}
    header = _text(json.dumps({"alg": "ECDH-ES", "enc": "A256GCM", "kid": key["kid"], "typ": TYPE, "epk": epk}).encode())
    shared = own.exchange(ec.ECDH(), ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key())
    info = (7).to_bytes(4) + b"A256GCM" + bytes(4) + bytes(4) + (256).to_bytes(4)
    content_key = ConcatKDFHash(hashes.SHA256(), 32, info).derive(shared)
    nonce = secrets.token_bytes(12)
    closed = AESGCM(content_key).encrypt(nonce, json.dumps(DETAILS).encode(), header.encode())
    envelope = ".".join((header, "", _text(nonce), _text(closed[:-16]), _text(closed[-16:])))
    assert Opener(pair[0]).open(envelope) == DETAILS


def test_the_pair_that_one_machine_makes_for_itself_works(tmp_path: Path) -> None:
    files = keys(tmp_path)
    assert Opener(Path(files["SEALING_KEY_FILE"])).open(sealed(Path(files["SEALING_JWKS_FILE"]))) == DETAILS


def test_an_older_envelope_opens_until_its_key_is_dropped(pair: tuple[Path, Path]) -> None:
    old = sealed(pair[1])
    write_keys(pair[0], public=pair[1], keep=2)
    assert Opener(pair[0]).open(old) == Opener(pair[0]).open(sealed(pair[1])) == DETAILS
    write_keys(pair[0], public=pair[1], keep=2)
    with pytest.raises(EnvelopeRefused, match="unknown key"):
        Opener(pair[0]).open(old)


@pytest.mark.parametrize(
    "changed",
    [
        {"alg": "ECDH-ES+A256KW"},
        {"alg": "ECDH-ES+A128KW"},
        {"enc": "A128GCM"},
        {"enc": "A256CBC-HS512"},
        {"typ": "JWE"},
        {"typ": None},
        {"kid": "another"},
        {"kid": None},
        {"zip": "DEF"},
        {"cty": "json"},
        {"apu": "QQ"},
    ],
    ids=str,
)
def test_another_header_is_refused(pair: tuple[Path, Path], changed: dict[str, str | None]) -> None:
    if "zip" in changed:
        key = json.loads(pair[1].read_text())["keys"][0]
        header = {"alg": "ECDH-ES", "enc": "A256GCM", "kid": key["kid"], "typ": TYPE, "epk": {}, "zip": "DEF"}
        envelope = _text(json.dumps(header).encode()) + "....."
    else:
        envelope = sealed(pair[1], **changed)
    with pytest.raises(EnvelopeRefused):
        Opener(pair[0]).open(envelope)


@pytest.mark.parametrize("plain", ["", "null", "[]", '"CANARY"', "{", "CANARY", "[" * 20_000, "NaN"])
def test_what_is_no_object_is_refused_without_its_text(pair: tuple[Path, Path], plain: str) -> None:
    with pytest.raises(EnvelopeRefused) as refused:
        Opener(pair[0]).open(sealed(pair[1], plain))
    assert "CANARY" not in repr(refused.value)
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


@pytest.mark.parametrize("envelope", ["", "....", "a.b.c.d.e", "e30....", "W10....", "é....", "MQ....", "{}", "a" * (LARGEST + 1)])
def test_what_is_no_envelope_is_refused(pair: tuple[Path, Path], envelope: str) -> None:
    with pytest.raises(EnvelopeRefused):
        Opener(pair[0]).open(envelope)


def test_every_changed_character_is_noticed(pair: tuple[Path, Path]) -> None:
    envelope, opener = sealed(pair[1]), Opener(pair[0])
    # The last character of a part may hold bits that say nothing; all others do.
    spared = {position - 1 for position, sign in enumerate(envelope + ".") if sign == "."}
    for position in set(range(0, len(envelope), 3)) - spared:
        if envelope[position] == ".":
            continue
        other = "A" if envelope[position] != "A" else "B"
        with pytest.raises(EnvelopeRefused):
            opener.open(envelope[:position] + other + envelope[position + 1 :])


def test_a_point_that_is_not_on_the_curve_is_refused(pair: tuple[Path, Path]) -> None:
    header, *rest = sealed(pair[1]).split(".")
    told = json.loads(base64.urlsafe_b64decode(header + "=="))
    told["epk"]["y"] = told["epk"]["x"]
    with pytest.raises(EnvelopeRefused):
        Opener(pair[0]).open(".".join((_text(json.dumps(told).encode()), *rest)))


def test_only_the_private_file_can_open_and_only_its_owner_reads_it(pair: tuple[Path, Path]) -> None:
    public = json.loads(pair[1].read_text())["keys"]
    assert [set(key) for key in public] == [{"kty", "crv", "x", "y", "use", "alg", "kid"}]
    assert pair[0].stat().st_mode & 0o777 == 0o600
    with pytest.raises(EnvelopeRefused, match="unknown key"):
        Opener(pair[1]).open(sealed(pair[1]))


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
