"""The tapes, played by the reducer that the server's tests trust; tests/browser/test_live_tapes.py plays them to live.js."""

from typing import Any

import pytest

from tests.tapes import FOLDER, TAPES, expected, play, written


@pytest.mark.parametrize(
    "tape", [pytest.param(tape, id=f"{name}: {tape['about']}") for name, tapes in TAPES.items() for tape in tapes]
)
def test_a_screen_knows_what_the_tape_says_after_each_frame(tape: dict[str, Any]) -> None:
    assert play(tape) == expected(tape)


def test_every_fault_and_every_write_has_its_tape() -> None:
    assert set(TAPES) == {"faults", "day", "writes"}


@pytest.mark.parametrize("name", TAPES)
def test_a_tape_lies_as_it_is_written(name: str) -> None:
    assert (FOLDER / f"{name}.json").read_text() == written(TAPES[name])
