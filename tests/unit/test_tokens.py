"""Access tokens: what is refused, whatever it says of itself, and that no rotation of keys refuses anything."""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from apps.auth import keys
from apps.kernel import tokens
from apps.kernel.tokens import LONGEST_S, Claims, TokenRefused, Verifier, sign

Change = dict[str, Any]
KEY, OTHER_KEY = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
KID = tokens.public_jwk(KEY)["kid"]


def pem(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The signing key and its published half, as auth keeps them."""
    (tmp_path / "key.pem").write_bytes(pem(KEY))
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [tokens.public_jwk(KEY)]}))
    return tmp_path


@pytest.fixture
def verifier(folder: Path) -> Verifier:
    return Verifier(folder / "jwks.json", revoked=lambda _: None)


def signed(file: Path, **changed: Any) -> str:
    given: dict[str, Any] = {"subject": "ada", "clinic": "harbor", "role": "front_desk", "seconds": 300, **changed}
    return sign(file, **given)


def payload(**changed: Any) -> dict[str, Any]:
    now = int(time.time())
    good = {"iss": tokens.ISSUER, "aud": tokens.AUDIENCE, "sub": "ada", "clinic": "harbor", "role": "front_desk"}
    times = {"amr": ["pwd", "otp"], "iat": now, "exp": now + 300, "jti": "j1"}
    return {name: value for name, value in (good | times | changed).items() if value is not None}


def forged(claims: Change | None = None, *, key: Any = KEY, algorithm: str = "EdDSA", **header: Any) -> str:
    return jwt.encode(payload(**claims or {}), key, algorithm=algorithm, headers={"kid": KID, **header})


def raw(header: Change, claims: Change, signature: bytes = b"") -> str:
    parts = [json.dumps(header).encode(), json.dumps(claims).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def test_what_is_signed_is_read_back(folder: Path, verifier: Verifier) -> None:
    claims = verifier.claims(signed(folder / "key.pem", role="practitioner", calendar="c1", token_id="s1"))
    now = int(time.time())
    assert claims == Claims("ada", "harbor", "practitioner", True, "s1", claims.issued_at, claims.issued_at + 300, "c1")
    assert now - 2 <= claims.issued_at <= now


def test_the_forgeries_below_would_be_good_if_nothing_were_wrong_with_them(verifier: Verifier) -> None:
    assert verifier.claims(forged()).subject == "ada"
    assert verifier.claims(forged({"nbf": int(time.time()) + 20, "iat": int(time.time()) + 20})).subject == "ada"


def now() -> int:
    """Of when the test runs: the list below is made long before."""
    return int(time.time())


WRONG: dict[str, Callable[[], str]] = {
    "alg none": lambda: raw({"alg": "none", "typ": "JWT", "kid": KID}, payload()),
    "alg none with a signature": lambda: raw({"alg": "none", "kid": KID}, payload(), b"x" * 64),
    "alg in odd letters": lambda: raw({"alg": "nOnE", "kid": KID}, payload()),
    "no algorithm": lambda: raw({"kid": KID}, payload(), b"x" * 64),
    "issuer": lambda: forged({"iss": "https://evil.example"}),
    "issuer of services": lambda: forged({"iss": "healthflow/service"}),
    "audience": lambda: forged({"aud": "records"}),
    "no audience": lambda: forged({"aud": None}),
    "no expiry": lambda: forged({"exp": None}),
    "no id": lambda: forged({"jti": None}),
    "no subject": lambda: forged({"sub": None}),
    "no clinic": lambda: forged({"clinic": None}),
    "no issue time": lambda: forged({"iat": None}),
    "expired": lambda: forged({"iat": now() - 400, "exp": now() - 100}),
    "not yet good": lambda: forged({"nbf": now() + 600}),
    "issued in the future": lambda: forged({"iat": now() + 600, "exp": now() + 900}),
    "good for too long": lambda: forged({"exp": now() + LONGEST_S + 600}),
    "expiry that is no number": lambda: forged({"exp": "never"}),
    "unknown role": lambda: forged({"role": "root"}),
    "another key": lambda: forged(key=OTHER_KEY),
    "unknown kid": lambda: forged(kid="nobody"),
    "kid with a path": lambda: _hs256(b"", kid="../../../../dev/null"),
    "kid with SQL": lambda: forged(key=OTHER_KEY, kid="x' UNION SELECT 'key'--"),
    "kid that is long": lambda: forged(key=OTHER_KEY, kid="k" * 3000),
    "kid that is no text": lambda: raw({"alg": "EdDSA", "kid": {"a": 1}}, payload(), b"x" * 64),
    "no kid": lambda: raw({"alg": "EdDSA"}, payload(), b"x" * 64),
    "the public key as a secret": lambda: _hs256(KEY.public_key().public_bytes_raw()),
    "the public JWK as a secret": lambda: _hs256(json.dumps(tokens.public_jwk(KEY)).encode()),
    "the public PEM as a secret": lambda: _hs256(KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)),
    "RSA": lambda: forged(key=rsa.generate_private_key(public_exponent=65537, key_size=2048), algorithm="RS256"),
    "a key in the header": lambda: forged(key=OTHER_KEY, jwk=tokens.public_jwk(OTHER_KEY)),
    "a key's address in the header": lambda: forged(key=OTHER_KEY, jku="http://127.0.0.1:1/jwks.json", kid="theirs"),
    "a certificate's address in the header": lambda: forged(key=OTHER_KEY, x5u="http://127.0.0.1:1/cert.pem"),
    "a header that must be understood": lambda: forged(crit=["hf"], hf=1),
    "huge": lambda: forged({"clinic": "x" * 8192}),
    "10 MiB": lambda: "x" * (10 << 20),
    "nothing": lambda: "",
    "dots": lambda: "..",
    "not ASCII": lambda: "é.é.é",
    "NUL": lambda: "\0.\0.\0",
    "a changed claim": lambda: _changed(forged()),
}


def _hs256(secret: bytes, *, kid: str = KID) -> str:
    # By hand: the library refuses to make it.
    head = raw({"alg": "HS256", "kid": kid}, payload()).rpartition(".")[0]
    signature = hmac.new(secret, head.encode(), hashlib.sha256).digest()
    return f"{head}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def _changed(token: str) -> str:
    head, _, signature = token.split(".")
    return f"{head}.{raw({}, payload(role='clinic_admin')).split('.')[1]}.{signature}"


@pytest.mark.parametrize("wrong", WRONG)
def test_it_is_refused(verifier: Verifier, wrong: str) -> None:
    with pytest.raises(TokenRefused):
        verifier.claims(WRONG[wrong]())


def test_what_was_revoked_is_void_also_when_it_was_good_before(folder: Path) -> None:
    void: list[str] = []
    verifier = Verifier(folder / "jwks.json", revoked=lambda claims: claims.token_id in void)
    token = signed(folder / "key.pem", token_id="s1")
    verifier.claims(token)
    void.append("s1")
    with pytest.raises(TokenRefused):
        verifier.claims(token)


# --- keys -----------------------------------------------------------------------------------------------------------------


def test_a_storm_of_unknown_keys_reads_the_file_no_more_often(
    folder: Path, verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[Path] = []
    read = tokens._read

    def counted(file: Path) -> dict[str, Any]:
        reads.append(file)
        return read(file)

    monkeypatch.setattr(tokens, "_read", counted)
    for number in range(2000):
        with pytest.raises(TokenRefused):
            verifier.claims(raw({"alg": "EdDSA", "kid": f"k{number}"}, payload(), b"x" * 64))
    assert reads == []
    rotate(folder, now=0)
    rotate(folder, now=keys.OVERLAP_S)
    assert verifier.claims(signed(folder / "key.pem")).subject == "ada"
    assert reads == [folder / "jwks.json"]


def test_a_file_that_cannot_be_read_changes_nothing(folder: Path, verifier: Verifier) -> None:
    token = signed(folder / "key.pem")
    for broken in ("{", '{"keys": [{"kid": "x"}]}', "[]"):
        (folder / "jwks.json").write_text(broken)
        with pytest.raises(TokenRefused):
            verifier.claims(forged(kid="nobody"))
    (folder / "jwks.json").unlink()
    with pytest.raises(TokenRefused):
        verifier.claims(forged(kid="nobody"))
    assert verifier.claims(token).subject == "ada"


def rotate(folder: Path, *, now: int, withdraw: bool = False) -> keys.Rotation:
    return keys.rotate(folder / "key.pem", folder / "jwks.json", now=now, withdraw=withdraw)


def published(folder: Path) -> list[str]:
    return [key["kid"] for key in json.loads((folder / "jwks.json").read_text())["keys"]]


def test_a_key_is_published_before_it_signs_and_withdrawn_when_its_last_token_is_over(folder: Path) -> None:
    first = rotate(folder, now=1000)
    assert (first.active, first.activated, first.wait_s) == (KID, False, keys.OVERLAP_S)
    assert published(folder) == [KID, first.next]

    early = rotate(folder, now=1000 + keys.OVERLAP_S - 1)
    assert (early.activated, early.next, early.wait_s) == (False, first.next, 1)

    second = rotate(folder, now=1000 + keys.OVERLAP_S)
    assert (second.activated, second.active, second.withdrawn) == (True, first.next, [])
    assert published(folder) == [first.next, second.next, KID]
    assert jwt.get_unverified_header(signed(folder / "key.pem"))["kid"] == first.next

    retired = 1000 + keys.OVERLAP_S
    third = rotate(folder, now=retired + keys.KEPT_S - 1)
    assert third.withdrawn == []
    fourth = rotate(folder, now=retired + keys.KEPT_S)
    assert fourth.withdrawn == [KID]
    assert KID not in published(folder)
    assert (folder / "key.pem").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("step", ["the next key is not published yet", "the active key is not listed as such"])
def test_a_run_that_was_broken_off_is_gone_on_with(folder: Path, step: str) -> None:
    first = rotate(folder, now=0)
    if step.startswith("the next"):
        (folder / "jwks.json").write_text(json.dumps({"keys": [tokens.public_jwk(KEY)]}))
        assert rotate(folder, now=500).activated is False
        assert rotate(folder, now=500 + keys.OVERLAP_S).active == first.next
    else:
        (folder / "key.next.pem").replace(folder / "key.pem")
        again = rotate(folder, now=keys.OVERLAP_S)
        assert (again.active, again.activated) == (first.next, False)
        assert set(published(folder)) == {KID, first.next, again.next}


def test_a_key_that_others_may_have_is_withdrawn_at_once_with_its_tokens(folder: Path, verifier: Verifier) -> None:
    token = signed(folder / "key.pem")
    assert verifier.claims(token).subject == "ada"
    rotate(folder, now=0)
    done = rotate(folder, now=keys.OVERLAP_S, withdraw=True)
    assert done.withdrawn == [KID]
    verifier.claims(signed(folder / "key.pem"))  # its key is not known yet: the file is read again
    with pytest.raises(TokenRefused):
        verifier.claims(token)


def test_nobody_is_refused_while_keys_rotate(folder: Path) -> None:
    """Four readers, each with a verifier and tokens of every key, while keys rotate fifty times as fast as they can."""
    started, over = threading.Barrier(5), threading.Event()
    refused: list[str] = []
    seen: set[str] = set()

    def read() -> None:
        verifier = Verifier(folder / "jwks.json", revoked=lambda _: None)
        kept = [signed(folder / "key.pem")]
        started.wait()
        while not over.is_set():
            kept.append(signed(folder / "key.pem"))
            for token in (kept[0], kept[len(kept) // 2], kept[-1]):
                try:
                    verifier.claims(token)
                except TokenRefused as why:
                    refused.append(str(why))
            seen.add(jwt.get_unverified_header(kept[-1])["kid"])

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    started.wait()
    for turn in range(50):
        rotate(folder, now=turn * keys.OVERLAP_S)
        over.wait(0.005)  # lets the readers run; what is proved does not depend on it
    over.set()
    for reader in readers:
        reader.join()
    assert refused == []
    assert len(seen) > 10
