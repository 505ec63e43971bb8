"""What a process keeps, and what it forgets first."""

from engine.kept import Kept


def test_what_was_used_last_stays() -> None:
    kept = Kept[str](2)
    kept.put("a", "A")
    kept.put("b", "B")
    kept.get("a")
    kept.put("c", "C")

    assert [kept.get(key) for key in "abc"] == ["A", None, "C"]


def test_room_is_by_weight_and_is_given_back() -> None:
    kept = Kept[bytes](10, weigh=len)
    kept.put(1, b"12345")
    kept.put(1, b"1234")
    kept.put(2, b"123456")
    assert (kept.get(1), kept.get(2)) == (b"1234", b"123456")

    kept.put(3, b"1")
    assert (kept.get(1), kept.get(2), kept.get(3)) == (None, b"123456", b"1")

    kept.clear()
    kept.put(4, b"1234567890")
    assert kept.get(4) == b"1234567890"


def test_what_is_heavier_than_all_the_room_is_not_kept() -> None:
    kept = Kept[bytes](3, weigh=len)
    kept.put(1, b"1234")
    assert kept.get(1) is None
    kept.put(2, b"123")
    assert kept.get(2) == b"123"


def test_a_value_is_made_once_even_when_it_is_empty() -> None:
    kept, made = Kept[bytes](10), list[int]()

    def make() -> bytes:
        made.append(1)
        return b""

    assert (kept.made("k", make), kept.made("k", make), made) == (b"", b"", [1])
