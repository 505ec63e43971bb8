"""The time zone of a place in the United States, from its state and ZIP code.

Most states have one zone. Where a zone border crosses a state, the ZIP code areas on the other side are listed; an area
that the border itself crosses has the zone in which most of its people live, and its other places are listed one by one.
"""

import re
from collections.abc import Iterator

_EASTERN, _CENTRAL, _MOUNTAIN, _PACIFIC = "America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles"

_STATES = {
    _EASTERN: "CT DC DE FL GA KY MA MD ME NC NH NJ NY OH PA RI SC VA VT WV",
    _CENTRAL: "AL AR IA IL KS LA MN MO MS ND NE OK SD TN TX WI",
    _MOUNTAIN: "CO MT NM UT WY",
    _PACIFIC: "CA NV OR WA",
    "America/Anchorage": "AK",
    "America/Phoenix": "AZ",
    "America/Boise": "ID",
    "America/Indiana/Indianapolis": "IN",
    "America/Detroit": "MI",
    "Pacific/Honolulu": "HI",
    "Pacific/Pago_Pago": "AS",
    "Pacific/Guam": "GU MP",
    "America/Puerto_Rico": "PR",
    "America/St_Thomas": "VI",
}
STATES = {state: zone for zone, states in _STATES.items() for state in states.split()}
"""The 50 states, the District of Columbia and the five territories, each with the zone of most of it."""

# State → zone → beginnings of ZIP codes; the longest that fits counts.
_ACROSS_THE_BORDER = {
    "AK": {"America/Adak": "99546 99547"},
    # The Navajo Nation keeps daylight saving time, the rest of Arizona does not.
    "AZ": {_MOUNTAIN: "865 86033 86044 86045 86053 86054"},
    "FL": {_CENTRAL: "324 325", _EASTERN: "32456 32457"},
    "ID": {_PACIFIC: "835 838"},
    "IN": {_CENTRAL: "463 464 476 477 46534 47520 47551 47586"},
    "KS": {_MOUNTAIN: "67733 67735 67741 67758 67761 67762 67836 67857 67878 67879"},
    "KY": {
        _CENTRAL: "420 421 422 423 424 40111 40143 40144 40146 40152 40170 40171 42602 42629 42642 42712 42713 42715 42717"
        " 42721 42722 42726 42728 42729 42735 42741 42742 42743 42746 42749 42754 42762 42765 42782",
    },
    "MI": {
        "America/Menominee": "49801 49802 49821 49847 49852 49858 49863 49870 49874 49876 49881 49886 49887 49892 49893 49911"
        " 49915 49920 49927 49935 49938 49947 49959 49964 49968 49969",
    },
    "ND": {_MOUNTAIN: "586"},
    "NE": {_MOUNTAIN: "693 69122 69127 69129 69131 69133 69134 69140 69141 69145 69149 69150 69153 69155 69156 69160 69162 69168"},
    "NV": {_MOUNTAIN: "89883"},
    "OR": {"America/Boise": "979", _PACIFIC: "97904 97917 97920"},
    "SD": {_MOUNTAIN: "576 577 57543 57551 57567", _CENTRAL: "57601 57631 57632 57646 57648"},
    "TN": {
        _EASTERN: "373 374 376 377 378 379",
        _CENTRAL: "37301 37305 37306 37313 37318 37324 37327 37328 37330 37334 37335 37339 37340 37342 37345 37347 37348 37349"
        " 37352 37355 37356 37357 37359 37360 37365 37366 37367 37374 37375 37376 37380 37382 37383 37387 37388 37389 37394"
        " 37396 37397 37398",
    },
    "TX": {_MOUNTAIN: "799 885 79821 79835 79836 79837 79838 79839 79847 79849 79851 79853"},
}

_ZIP_CODE = re.compile("[0-9]{5}")


def zone_of(state: str, postal_code: str) -> str | None:
    """The IANA zone of a place; None when the state is not known, or has several zones and there is no ZIP code to tell."""
    across = _ACROSS_THE_BORDER.get(state)
    if across is None:
        return STATES.get(state)
    if not _ZIP_CODE.match(postal_code):
        return None
    found = max(_matches(across, postal_code), default=None)
    return found[1] if found else STATES[state]


def _matches(across: dict[str, str], postal_code: str) -> Iterator[tuple[int, str]]:
    for zone, beginnings in across.items():
        yield from ((len(beginning), zone) for beginning in beginnings.split() if postal_code.startswith(beginning))
