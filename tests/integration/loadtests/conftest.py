"""The fixtures of this folder: the test database by its address, and an engine in front of it."""

import os
from collections.abc import Iterator

import pytest
from django.db import connection

from engine import models
from loadtests import target
from loadtests.target import Target


@pytest.fixture
def address(transactional_db: None) -> str:
    models.Stream.objects.get_or_create(id=1)  # emptied with all tables between tests
    given = connection.settings_dict
    return f"postgresql://{given['USER']}:{given['PASSWORD']}@{given['HOST']}:{given['PORT']}/{given['NAME']}"


@pytest.fixture
def engine(address: str) -> Iterator[Target]:
    variables = {**os.environ, "DATABASE_URL_ENGINE": address}
    with target.another_engine(Target({}, {}, variables), workers=1, threads=4) as at:
        yield at
