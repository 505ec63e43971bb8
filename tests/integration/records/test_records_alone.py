"""The service by itself: it boots, migrates, and answers, while the other services' packages cannot be imported."""

import pytest
from django.core.management import call_command
from django.test import Client


@pytest.mark.django_db
def test_it_answers_and_is_ready() -> None:
    http = Client()

    assert http.get("/readyz").status_code == 200
    assert http.get("/api/records/v1/openapi.json").json()["openapi"].startswith("3.1")
    assert http.get("/api/records/v1/nothing").json()["code"] == "not_found"


@pytest.mark.django_db
def test_its_migrations_are_complete() -> None:
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)


def test_it_cannot_import_another_service() -> None:
    with pytest.raises(ImportError, match="another service"):
        __import__("engine.models")
