"""The pages around signing in, in Spanish, and as they look: with an app, with links of mails, for a clinic's apps, refused."""

import re
from urllib.parse import urlencode

from playwright.sync_api import Page, expect

from tests.browser.look import look
from tests.browser.stack import NewPage, Stack, manage
from tests.browser.test_sign_in import code, tab_to

SPANISH = {"name": "hf_language", "value": "es"}


def in_spanish(page: Page, heading: str) -> None:
    expect(page.get_by_role("heading", level=1)).to_contain_text(heading)
    assert page.evaluate("document.documentElement.lang") == "es"


def test_in_spanish_by_keyboard_alone_and_what_the_account_looks_like(
    new_page: NewPage, stack: Stack, complaints: list[str]
) -> None:
    person = stack.person("Priya Nair")
    page = new_page("/login/?next=/account/")
    look(page, "login")
    tab_to(page, '[hreflang="es"]')
    page.keyboard.press("Enter")
    in_spanish(page, "Iniciar sesión")
    page.keyboard.type(person.email)
    tab_to(page, "#id_password")
    page.keyboard.type(person.password)
    page.keyboard.press("Enter")
    in_spanish(page, "Un paso más")
    page.get_by_label("Código").fill("000000")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert").last).to_contain_text("Ese código no es correcto")
    look(page, "code-wrong")
    page.get_by_label("Código").fill(code(person))
    page.keyboard.press("Enter")
    # Where they wanted to go, also after the language was changed on the way.
    page.wait_for_url("**/account/")
    in_spanish(page, "Priya Nair")
    look(page, "account")
    page.get_by_role("link", name="Configurar otro teléfono").click()
    in_spanish(page, "Configure su segundo factor")
    look(page, "account-app")
    page.goto("/account/password/")
    page.get_by_label("Contraseña actual").fill(person.password)
    page.get_by_label("Contraseña nueva").fill("1234567890")
    page.get_by_role("button", name="Cambiarla").click()
    expect(page.get_by_text("Son solo cifras")).to_be_visible()
    look(page, "account-password")
    page.goto("/account/")
    page.get_by_role("button", name="Crear otros").click()
    in_spanish(page, "Sus códigos de recuperación")
    # They are shown once: no link leads away from them but the one that says so.
    expect(page.locator("[hreflang]")).to_have_count(0)
    look(page, "account-recovery")
    complaints[:] = [text for text in complaints if "422" not in text]


def test_who_is_invited_or_forgot_the_password_reads_and_follows_mails_in_spanish(new_page: NewPage, stack: Stack) -> None:
    page = new_page("/account/", cookies=[*stack.cookies("Thomas Reed"), SPANISH | {"url": stack.url}])
    in_spanish(page, "Thomas Reed")
    token = next(cookie["value"] for cookie in page.context.cookies() if cookie["name"] == "csrftoken")
    invitation = {"email": "ana@example.org", "name": "Ana O'Neill 🌊", "role": "front_desk"}
    assert page.request.post("/api/auth/v1/invitations", data=invitation, headers={"X-CSRFToken": token}).status == 201
    page.goto("/reset/")
    look(page, "reset")
    page.get_by_label("Correo electrónico").fill(stack.person("Dr. James Okafor").email)
    page.get_by_role("button", name="Enviar el enlace").click()
    in_spanish(page, "Mire su correo")

    page.goto("/demo/mailbox/")
    for subject, kind, heading in (
        ("Le invitan a HealthFlow", "invite", "Trabaje en Harbor Family Medicine"),
        ("Elija una contraseña nueva", "reset-link", "Elija una contraseña nueva"),
    ):
        mail = page.get_by_role("article").filter(has=page.get_by_role("heading", name=subject))
        link = mail.first.get_by_role("link").get_attribute("href", timeout=15_000)
        page.goto(str(link))
        in_spanish(page, heading)
        look(page, kind)
        page.goto("/demo/mailbox/")


def test_an_app_asks_in_the_readers_language_and_a_wrong_one_is_refused_on_a_page(
    new_page: NewPage, stack: Stack, complaints: list[str]
) -> None:
    here = "https://app.example/callback"
    made = manage("auth", "program", "--clinic", "demo", "--name", "Visit notes", "--redirect-uri", here, "--json", data=stack.data)
    query = {
        "response_type": "code",
        "client_id": re.findall(r'"client_id": "(\w+)"', made.stdout)[0],
        "redirect_uri": here,
        "code_challenge": "x" * 43,
        "code_challenge_method": "S256",
        "state": "s-1",
    }
    page = new_page(f"/account/authorize/?{urlencode(query)}", cookies=stack.cookies("Dr. Maya Chen"))
    expect(page.get_by_role("heading", level=1)).to_have_text("Allow Visit notes?")
    page.get_by_role("link", name="Español").click()
    in_spanish(page, "¿Permitir Visit notes?")
    look(page, "authorize")
    page.goto(f"/account/authorize/?{urlencode(query | {'redirect_uri': 'https://evil.example/'})}")
    in_spanish(page, "Esto no ha funcionado")
    look(page, "authorize-refused")
    complaints[:] = [text for text in complaints if "422" not in text]
