"""The doors: staff by API, the SMS provider by webhook, patients by the link in a mail."""

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from openapi_spec_validator import validate
from pydantic import SecretStr
from twilio.request_validator import RequestValidator

from apps.kernel.models import AuditEntry
from apps.notifications import optouts, settings, sms
from apps.notifications.models import Message, OptOut, Visit
from apps.notifications.permissions import PERMISSIONS
from tests.integration.notifications.conftest import Tell, in_
from tests.integration.notifications.neighbours import ZOE, Neighbours
from tests.integration.notifications.twilio_server import signature

BASE = "/api/notifications/v1"
POLICY = {
    "reminders": [1440],
    "quiet_begins": "20:00",
    "quiet_ends": "09:00",
    "channels": ["email"],
    "reply_to": "desk@example.org",
}
ROLES = ("practitioner", "front_desk", "clinic_admin", "billing", "auditor", "program")
AsRole = Callable[..., Client]


def send(client: Client, method: str, path: str, body: Any = None, **headers: str) -> Any:
    return client.generic(method, BASE + path, json.dumps(body or {}), content_type="application/json", headers=headers)


def refused(answer: Any, status: int, code: str) -> dict[str, Any]:
    assert answer["Content-Type"] == "application/problem+json", answer.content
    problem: dict[str, Any] = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code), problem
    return problem


# --- who may what -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "action", "body"),
    [
        ("GET", "/policy", "policy.read", None),
        ("PUT", "/policy", "policy.write", POLICY),
        ("GET", "/texts", "policy.read", None),
        ("GET", "/messages", "messages.read", None),
        ("POST", f"/messages/{uuid4()}/retry", "messages.retry", None),
        ("POST", "/offers", "offers.send", {"patient": ZOE["patient"], "start": "2036-01-01T10:00:00Z"}),
    ],
)
def test_every_role_may_what_the_table_says_and_nothing_else(
    as_role: AsRole, method: str, path: str, action: str, body: Any
) -> None:
    for role in ROLES:
        answer = send(as_role(role), method, path, body)
        assert (answer.status_code != 403) == (role in PERMISSIONS[action]), (role, answer.content)
    refused(send(Client(), method, path, body), 401, "unauthenticated")


def test_a_policy_is_kept_and_the_clinics_own(as_role: AsRole) -> None:
    written = AuditEntry.objects.filter(action="policy.changed")
    before = written.count()  # nobody can empty the log, tests included
    assert send(as_role("front_desk"), "GET", "/policy").json()["reminders"] == [2880, 120]
    answer = send(as_role("clinic_admin"), "PUT", "/policy", POLICY)

    assert answer.status_code == 200
    assert send(as_role("front_desk"), "GET", "/policy").json() == POLICY
    assert send(as_role("front_desk", clinic="other"), "GET", "/policy").json()["reminders"] == [2880, 120]
    assert written.count() == before + 1


@pytest.mark.parametrize(
    "change",
    [
        {"reminders": [5]},
        {"reminders": [60] * 6},
        {"reminders": ["60"]},
        {"quiet_begins": "25:00"},
        {"quiet_begins": "09:00", "quiet_ends": "08:00"},
        {"channels": ["pigeon"]},
        {"reply_to": "a@b\r\nBcc: c@d"},
        {"text": "{{ settings.SECRET_KEY }}"},
        {"clinic": "other"},
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(as_role: AsRole, change: dict[str, Any]) -> None:
    refused(send(as_role("clinic_admin"), "PUT", "/policy", POLICY | change), 422, "validation_failed")

    assert send(as_role("front_desk"), "GET", "/policy").json()["reminders"] == [2880, 120]


def test_messages_are_listed_by_page_without_who_and_what(as_role: AsRole, tell: Tell) -> None:
    visit = tell("booked")
    tell("booked")
    desk = as_role("front_desk")

    page = send(desk, "GET", "/messages?limit=3").json()
    rest = send(desk, "GET", f"/messages?limit=3&cursor={page['next']}").json()
    mine = send(desk, "GET", f"/messages?appointment={visit}&state=pending").json()["items"]

    assert len(page["items"] + rest["items"]) == 4
    assert rest["next"] is None
    assert {one["appointment"] for one in mine} == {str(visit)}
    assert "patient" not in mine[0]
    assert send(as_role("front_desk", clinic="other"), "GET", f"/messages?appointment={visit}").json()["items"] == []
    refused(send(desk, "GET", "/messages?appointment=1"), 422, "validation_failed")
    refused(send(desk, "GET", "/messages?recipient=zoe"), 422, "validation_failed")


def test_a_failed_message_is_tried_again_and_another_clinics_is_not_there(as_role: AsRole, tell: Tell) -> None:
    tell("booked")
    message = Message.objects.first()
    assert message is not None
    Message.objects.update(state="failed", error="twilio_21614", attempts=10)
    key = str(uuid4())

    answer = send(as_role("front_desk"), "POST", f"/messages/{message.id}/retry", idempotency_key=key)
    again = send(as_role("front_desk"), "POST", f"/messages/{message.id}/retry", idempotency_key=key)

    assert (answer.json()["state"], answer.json()["attempts"]) == ("pending", 0)
    assert again["Idempotent-Replayed"] == "true"
    refused(send(as_role("front_desk", clinic="other"), "POST", f"/messages/{message.id}/retry"), 404, "not_found")
    Message.objects.filter(id=message.id).update(state="sent")
    assert send(as_role("front_desk"), "POST", f"/messages/{message.id}/retry").json()["state"] == "sent"


def test_an_offer_is_made_once(as_role: AsRole) -> None:
    body = {"patient": ZOE["patient"], "start": in_(days=1).isoformat()}
    answers = [send(as_role("front_desk"), "POST", "/offers", body) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [201] * 3
    assert Message.objects.count() == 2
    refused(send(as_role("front_desk"), "POST", "/offers", body | {"start": "2020-01-01T10:00:00Z"}), 422, "validation_failed")
    refused(send(as_role("front_desk"), "POST", "/offers", body | {"link": "https://evil.example"}), 422, "validation_failed")
    refused(send(as_role("front_desk"), "POST", "/offers", body | {"patient": "x"}), 404, "not_found")


def test_the_document_is_valid(service: None) -> None:
    validate(Client().get(f"{BASE}/openapi.json").json())


# --- the SMS provider ---------------------------------------------------------------------------------------------------


def callback(path: str, form: dict[str, str], *, forged: bool = False) -> Any:
    url = f"https://book.example{BASE}{path}"
    sign = "forged" if forged else signature(url, form)
    return Client().post(BASE + path, form, headers={"x-twilio-signature": sign})


def test_what_became_of_an_sms_is_noted_however_often_it_is_told(tell: Tell) -> None:
    tell("booked")
    message = Message.objects.get(channel="sms")
    Message.objects.filter(id=message.id).update(state="sending")  # whoever sent it died before this could be noted
    path, form = f"/webhooks/twilio?message={message.id}", {"MessageSid": "SM1", "MessageStatus": "delivered"}

    assert [callback(path, form).status_code for _ in range(3)] == [204] * 3
    message.refresh_from_db()
    assert (message.state, message.provider_id) == ("sent", "SM1")
    callback(path, {"MessageSid": "SM1", "MessageStatus": "undelivered", "ErrorCode": "30003"})
    message.refresh_from_db()
    assert (message.state, message.error) == ("failed", "twilio_30003")


def test_a_forged_callback_changes_nothing(tell: Tell) -> None:
    tell("booked")
    message = Message.objects.get(channel="sms")
    path, form = f"/webhooks/twilio?message={message.id}", {"MessageSid": "SM1", "MessageStatus": "failed"}

    refused(callback(path, form, forged=True), 403, "forbidden")
    url = f"https://book.example{BASE}/webhooks/twilio?message={uuid4()}"
    refused(Client().post(BASE + path, form, headers={"x-twilio-signature": signature(url, form)}), 403, "forbidden")
    message.refresh_from_db()
    assert message.state == "pending"


def test_without_the_providers_secret_no_callback_is_believed(tell: Tell, monkeypatch: pytest.MonkeyPatch) -> None:
    tell("booked")
    message = Message.objects.get(channel="sms")
    without = settings.ENV.model_copy(update={"twilio_auth_token": SecretStr("")})
    monkeypatch.setattr(settings, "ENV", without)
    sms.validator.cache_clear()
    path, form = f"/webhooks/twilio?message={message.id}", {"MessageSid": "SM1", "MessageStatus": "failed"}
    signed = RequestValidator("").compute_signature(f"https://book.example{BASE}{path}", form)

    refused(Client().post(BASE + path, form, headers={"x-twilio-signature": signed}), 403, "forbidden")


@pytest.mark.parametrize("said", ["STOP", " stop ", "Unsubscribe"])
def test_a_stop_from_a_number_counts_for_its_patients_and_start_takes_it_back(service: None, said: str) -> None:
    form = {"MessageSid": "SM1", "From": "+12125550177", "Body": said}

    for _ in range(2):
        assert callback("/webhooks/twilio", form).status_code == 200
    assert optouts.stops(str(ZOE["patient"]), channel="sms", kind="confirmation")
    callback("/webhooks/twilio", form | {"Body": "START"})
    assert not OptOut.objects.exists()


def test_a_stop_while_records_is_away_is_not_said_to_be_heard(service: None, neighbours: Neighbours) -> None:
    neighbours.down = True

    refused(callback("/webhooks/twilio", {"MessageSid": "SM1", "From": "+12125550177", "Body": "STOP"}), 503, "unavailable")


def test_any_other_sms_is_ignored(service: None, neighbours: Neighbours) -> None:
    assert callback("/webhooks/twilio", {"MessageSid": "SM1", "From": "+12125550177", "Body": "thank you <3"}).status_code == 200
    assert neighbours.asked == []


# --- the link in a mail -------------------------------------------------------------------------------------------------


def test_one_click_ends_reminders_and_a_look_does_not(service: None) -> None:
    path = optouts.link(str(ZOE["patient"])).removeprefix("https://book.example")

    assert b"<button>" in Client().get(path).content
    assert not OptOut.objects.exists()
    for _ in range(2):
        done = Client().post(path, "List-Unsubscribe=One-Click", content_type="application/x-www-form-urlencoded")
        assert done.status_code == 200
    assert optouts.stops(str(ZOE["patient"]), channel="email", kind="reminder")
    assert not optouts.stops(str(ZOE["patient"]), channel="email", kind="confirmation")
    assert "correo" in Client().get(path, headers={"accept-language": "es-MX,es;q=0.9"}).content.decode()


@pytest.mark.parametrize("token", ["x", "01930000-0000-7000-8000-00000000aaaa:forged", "%00", "a" * 500])
def test_a_link_we_did_not_make_finds_nothing(service: None, token: str) -> None:
    assert Client().post(f"{BASE}/unsubscribe/{token}").status_code == 404
    assert not OptOut.objects.exists()


def test_a_merged_patient_keeps_what_either_did_not_want_and_a_shredded_one_nothing(service: None) -> None:
    optouts.stop(["old"], "sms")
    optouts.stop(["new"], "email")
    optouts.merge("old", "new")
    optouts.merge("old", "new")

    assert set(OptOut.objects.values_list("patient", "channel")) == {("new", "sms"), ("new", "email"), ("old", "sms")}
    optouts.forget("new")
    optouts.forget("old")
    assert not OptOut.objects.exists()
    assert not Visit.objects.exists()
