"""What a client of the live socket may say."""

import json

import pytest

from realtime import protocol
from realtime.protocol import Authenticate, Close, Refused, Subscribe, Unsubscribe


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ({"type": "auth", "token": "t"}, Authenticate("t", None)),
        ({"type": "auth", "clinic": "harbor"}, Authenticate(None, "harbor")),
        ({"type": "subscribe", "calendar": "c"}, Subscribe("c", None, None)),
        ({"type": "subscribe", "calendar": "c", "version": 0, "epoch": "e1"}, Subscribe("c", 0, "e1")),
        ({"type": "subscribe", "calendar": "c", "version": None, "epoch": None}, Subscribe("c", None, None)),
        ({"type": "unsubscribe", "calendar": "c"}, Unsubscribe("c")),
        ({"type": "unsubscribe", "calendar": "c", "later": "more"}, Unsubscribe("c")),
    ],
)
def test_a_message_is_understood_and_unknown_fields_are_ignored(said: dict[str, object], meant: protocol.Message) -> None:
    assert protocol.parse(json.dumps(said)) == meant


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "null",
        "[]",
        "{}",
        '"auth"',
        '{"type": "auth"}',
        '{"type": "auth", "token": 1}',
        '{"type": "auth", "token": "t", "clinic": "harbor"}',
        '{"type": "auth", "clinic": "../etc"}',
        '{"type": "auth", "clinic": ""}',
        '{"type": "shout", "calendar": "c"}',
        '{"type": ["subscribe"], "calendar": "c"}',
        '{"type": "subscribe"}',
        '{"type": "subscribe", "calendar": ""}',
        '{"type": "subscribe", "calendar": "c d"}',
        '{"type": "subscribe", "calendar": "c\\n"}',
        '{"type": "subscribe", "calendar": "\\ud800"}',
        '{"type": "subscribe", "calendar": "%s"}' % ("c" * 65),
        '{"type": "subscribe", "calendar": "c", "version": -1}',
        '{"type": "subscribe", "calendar": "c", "version": true}',
        '{"type": "subscribe", "calendar": "c", "version": 1.0}',
        '{"type": "subscribe", "calendar": "c", "version": "1"}',
        '{"type": "subscribe", "calendar": "c", "version": NaN}',
        '{"type": "subscribe", "calendar": "c", "version": %s}' % ("9" * 5_000),
        '{"type": "subscribe", "calendar": "c", "epoch": 1}',
        "[" * 10_000,
    ],
)
def test_anything_else_is_a_bad_message(text: str) -> None:
    with pytest.raises(Refused) as refused:
        protocol.parse(text)
    assert refused.value.close == Close.BAD_MESSAGE


@pytest.mark.parametrize("text", ["x" * (16 * 1024 + 1), "€" * 6_000])
def test_a_frame_over_16_kib_is_too_large_whatever_it_says(text: str) -> None:
    with pytest.raises(Refused) as refused:
        protocol.parse(text)
    assert refused.value.close == Close.TOO_LARGE


def test_16_kib_are_not_too_large() -> None:
    said = json.dumps({"type": "auth", "token": ""})
    assert protocol.parse(said.replace('""', '"%s"' % ("t" * (16 * 1024 - len(said)))))


def test_every_close_code_gets_through_daphne() -> None:
    assert all(3_000 <= code <= 4_999 for code in Close)
