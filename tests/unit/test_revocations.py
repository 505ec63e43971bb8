"""A process's copy of what was revoked."""

import time

import pytest

from apps.kernel import revocations
from apps.kernel.revocations import Revocations
from apps.kernel.tokens import LONGEST_S, Claims

NOW = int(time.time())


def claims(*, issued_at: int = NOW) -> Claims:
    return Claims("ada", "harbor", "front_desk", True, "j1", issued_at, issued_at + 300)


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (revocations.session("j1"), "session ended"),
        (revocations.subject("ada"), "session ended"),
        (revocations.member("ada", clinic="harbor"), "clinic left"),
        (revocations.session("j2"), None),
        (revocations.subject("bob"), None),
        (revocations.member("ada", clinic="elsewhere"), None),
    ],
)
def test_an_entry_voids_what_it_names(entry: str, reason: str | None) -> None:
    copy = Revocations()
    assert copy.learn([(entry.encode(), NOW)])
    assert copy.reason(claims()) == reason


def test_what_was_issued_up_to_that_second_is_void_and_what_came_later_is_not() -> None:
    copy = Revocations()
    copy.learn([(b"subject ada", NOW)])
    assert [copy.reason(claims(issued_at=NOW + late)) for late in (-1, 0, 1)] == ["session ended", "session ended", None]


def test_only_what_is_newer_is_news() -> None:
    copy = Revocations()
    assert copy.learn([(b"subject ada", NOW - 5)])
    assert not copy.learn([(b"subject ada", NOW - 5)])
    assert not copy.learn([(b"subject ada", NOW - 9)])
    assert copy.learn([(b"subject ada", NOW)])


def test_it_is_kept_while_a_token_that_it_voids_can_be_good_and_no_longer() -> None:
    copy = Revocations()
    over, just_good = NOW - LONGEST_S - 3_600, NOW - LONGEST_S + 3_600
    copy.learn([(b"subject ada", over), (b"subject bob", just_good)])
    copy.learn([])  # a Redis that lost its memory
    assert copy.reason(claims(issued_at=over)) is None
    bob = Claims("bob", "harbor", "front_desk", True, "j9", just_good, just_good + LONGEST_S)
    assert copy.reason(bob) == "session ended"


def test_the_next_reading_goes_back_far_enough_for_entries_that_come_late() -> None:
    copy = Revocations()
    assert copy.unread == 0
    copy.learn([(b"subject ada", NOW)])
    assert copy.unread == NOW - 600
