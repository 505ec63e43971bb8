"""English and Spanish: pages, what forms refuse, mails; and nobody's language is anybody else's."""

import re
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from django.core import mail
from django.test import Client

from apps.auth import letters
from apps.auth.models import Invitation, NewDeviceNotice, PasswordReset
from apps.auth.words import digest
from tests.integration.auth.visits import Response, Staff, api, give_password, post, sign_in

Make = Callable[..., Staff]
SPANISH = "es-MX,es;q=0.9,en;q=0.8"
SECRET = "only-in-the-mail"


@pytest.fixture
def spanish() -> Client:
    return Client(headers={"accept-language": SPANISH, "accept": "text/html"})


def switch(page: Response) -> str:
    """Where the link to the other language leads."""
    found = re.search(r'<a href="([^"]*)" lang=', page.content.decode())
    assert found is not None
    return found.group(1).replace("&amp;", "&")


def test_a_page_is_in_the_language_of_the_browser_until_another_is_chosen(spanish: Client) -> None:
    page = spanish.get("/login/?next=/account/%3Fa%3D1%26b")
    assert '<html lang="es">' in page.content.decode()
    assert switch(page) == "?next=%2Faccount%2F%3Fa%3D1%26b&lang=en"
    assert "Sign in" in spanish.get("/login/" + switch(page)).content.decode()
    assert "Sign in" in spanish.get("/login/").content.decode()
    assert "Iniciar sesión" in spanish.get("/login/?lang=es&lang=xx&lang=es").content.decode()


def test_nobody_reads_what_another_ones_browser_asked_for(spanish: Client, browser: Client, make: Make) -> None:
    staff = make()
    assert "Ese correo y esa contraseña" in give_password(spanish, staff, password="wrong").content.decode()
    assert "do not go together" in give_password(browser, staff, password="wrong").content.decode()


def test_the_link_to_the_other_language_does_not_hold_the_secret_of_the_page(spanish: Client, make: Make) -> None:
    PasswordReset.objects.create(email=make().email, token=digest(SECRET))
    page = spanish.get(f"/reset/{SECRET}/")
    assert switch(page) == "?lang=en"
    assert SECRET not in page.content.decode()
    assert page["Referrer-Policy"] == "strict-origin"


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("", "Este campo es obligatorio."),
        ("x7!kd", "Es demasiado corta"),
        ("password1234", "La usa mucha gente"),
        ("839201756430", "Son solo cifras"),
        ("{email}", "Se parece demasiado a su nombre o a su correo"),
    ],
)
def test_a_refused_password_is_explained_in_the_readers_language(spanish: Client, make: Make, password: str, said: str) -> None:
    staff = make()
    PasswordReset.objects.create(email=staff.email, token=digest(SECRET))
    answer = post(spanish, f"/reset/{SECRET}/", new_password=password.format(email=staff.email))
    assert answer.status_code == 422
    assert said in answer.content.decode()


def test_letters_are_in_the_language_of_the_page_that_caused_them(spanish: Client, make: Make) -> None:
    admin = make("clinic_admin")
    sign_in(Client(), admin)
    sign_in(spanish, admin)
    post(spanish, "/reset/", email=admin.email)
    invited = api(spanish, "post", "/invitations", {"email": "ana@example.org", "name": "Ana {link}", "role": "billing"})
    assert invited.status_code == 201
    PasswordReset.objects.create(email=make().email)
    assert {kind.objects.earliest("id").language for kind in (Invitation, PasswordReset, NewDeviceNotice)} == {"es"}
    NewDeviceNotice.objects.update(at=datetime(2026, 11, 24, 9, 5, tzinfo=UTC))
    assert letters.send_due() == 4
    subjects = {"Le invitan a HealthFlow", "Elija una contraseña nueva de HealthFlow", "Choose a new HealthFlow password"}
    assert {sent.subject for sent in mail.outbox} == subjects | {"Un dispositivo nuevo ha iniciado sesión en HealthFlow"}
    bodies = {sent.subject: str(sent.body) for sent in mail.outbox}
    assert bodies["Le invitan a HealthFlow"].startswith("Hola, Ana {link}:\n")
    assert "24 de noviembre de 2026, 09:05 (UTC)" in bodies["Un dispositivo nuevo ha iniciado sesión en HealthFlow"]


def test_people_are_refused_on_a_page_and_programs_by_a_problem(spanish: Client, browser: Client, make: Make) -> None:
    staff = make()
    sign_in(browser, staff)
    spanish.cookies = browser.cookies
    for path in ("/account/nothing/", "/login/nothing/"):
        assert browser.get(path).json()["code"] == "not_found"
        page = spanish.get(path)
        assert page.status_code == 404
        assert "Aquí no hay ninguna página así" in page.content.decode()
        assert "default-src 'self'" in page["Content-Security-Policy"]
    assert post(browser, "/account/factors/remove/", factor="app").json()["code"] == "validation_failed"
    assert "Esto no ha funcionado" in post(spanish, "/account/factors/remove/", factor="app").content.decode()
    assert spanish.get("/api/auth/v1/nothing").json()["code"] == "not_found"
