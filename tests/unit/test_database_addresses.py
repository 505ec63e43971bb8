"""Addresses of databases, as the environment names them."""

from typing import Any

import pytest
from pydantic import SecretStr

from apps.kernel.environment import database, databases


@pytest.mark.parametrize(
    ("place", "host", "port"),
    [
        ("db.example", "db.example", "5432"),
        ("db.example:6432", "db.example", "6432"),
        ("", "127.0.0.1", "5432"),
        ("[::1]:6432", "::1", "6432"),
        ("[::1]", "::1", "5432"),
        ("a:1,b:2", "a,b", "1,2"),
        ("a,b:2", "a,b", "5432,2"),
    ],
)
def test_a_database_is_found_where_its_address_says(place: str, host: str, port: str) -> None:
    found = _database(f"postgresql://me:p%40ss%2C%3A@{place}/name")

    assert (found["HOST"], found["PORT"], found["NAME"]) == (host, port, "name")
    assert (found["USER"], found["PASSWORD"]) == ("me", "p@ss,:")


def test_of_several_hosts_it_is_the_one_that_takes_writes() -> None:
    assert "target_session_attrs" not in _database("postgresql://me:x@a/name")["OPTIONS"]
    assert _database("postgresql://me:x@a,b/name")["OPTIONS"]["target_session_attrs"] == "read-write"


def test_a_list_of_addresses_may_name_several_hosts_in_each() -> None:
    urls = ["postgresql://me:x@a:1,b:2/name", "postgresql://me:x@c/name"]

    assert [url.get_secret_value() for url in databases(SecretStr(",".join(urls)))] == urls
    assert databases(SecretStr("")) == []


def _database(url: str) -> dict[str, Any]:
    return database(SecretStr(url), connect_timeout=3)
