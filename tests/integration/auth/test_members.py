"""Who works in a clinic: for its administrators, and for nobody else."""

import json
from collections.abc import Callable
from uuid import uuid4

import pytest
from django.test import Client

from apps.auth.models import Invitation, Membership
from apps.kernel.ids import new_id
from apps.kernel.models import AuditEntry, OutboxEvent
from tests.integration.auth.visits import Response, Staff, api, sign_in

Make = Callable[..., Staff]
INVITATION = {"email": "New.Person@Example.org", "name": "New Person", "role": "billing"}


@pytest.fixture
def admin(make: Make) -> Client:
    return sign_in(Client(), make("clinic_admin"))


def change(browser: Client, staff: Staff, **body: object) -> Response:
    return api(browser, "patch", f"/members/{staff.membership.id}", body)


def test_an_administrator_sees_the_own_clinic_only_page_by_page(make: Make, admin: Client) -> None:
    staff, _foreign = make("practitioner"), make("practitioner", slug="other")
    first = api(admin, "get", "/members?limit=1").json()
    rest = api(admin, "get", f"/members?limit=5&cursor={first['next']}").json()
    found = first["items"] + rest["items"]
    assert [one["role"] for one in found] == ["clinic_admin", "practitioner"]
    assert found[1] == {
        "id": str(staff.membership.id),
        "person": str(staff.person.id),
        "name": staff.person.name,
        "email": staff.email,
        "role": "practitioner",
        "calendar": "",
        "active": True,
    }
    assert rest["next"] is None


def test_a_change_is_a_fact_and_in_the_audit_log_and_ends_what_is_open(make: Make, admin: Client) -> None:
    staff = make()
    browser = sign_in(Client(), staff)
    answer = change(admin, staff, role="practitioner", calendar="c-1")
    assert (answer.status_code, answer.json()["role"], answer.json()["calendar"]) == (200, "practitioner", "c-1")
    fact = OutboxEvent.objects.get()
    assert (fact.type, fact.clinic, fact.subject) == ("member.changed.v1", "harbor", str(staff.person.id))
    assert fact.data == {"subject": str(staff.person.id), "clinic": "harbor", "role": "practitioner"}
    entry = AuditEntry.objects.get(action="member.change", object=f"person:{staff.person.id}")
    assert (entry.role, entry.object) == ("clinic_admin", f"person:{staff.person.id}")
    assert browser.get("/account/").status_code == 302


def test_who_changes_roles_loses_the_calendar_of_the_old_one(make: Make, admin: Client) -> None:
    staff = make("practitioner")
    change(admin, staff, calendar="c-1")
    assert change(admin, staff, role="billing").json()["calendar"] == ""
    assert change(admin, staff, calendar="c-1").json()["param"] == "calendar"


def test_a_member_is_removed(make: Make, admin: Client) -> None:
    staff = make()
    assert api(admin, "delete", f"/members/{staff.membership.id}").status_code == 204
    assert not Membership.objects.filter(person=staff.person).exists()
    assert OutboxEvent.objects.get().type == "member.removed.v1"


def test_the_last_administrator_stays(make: Make, admin: Client) -> None:
    own = Membership.objects.get(role="clinic_admin")
    assert api(admin, "delete", f"/members/{own.id}").json()["code"] == "validation_failed"
    assert api(admin, "patch", f"/members/{own.id}", {"role": "billing"}).json()["param"] == "role"
    make("clinic_admin")
    assert api(admin, "delete", f"/members/{own.id}").status_code == 204


@pytest.mark.parametrize("role", ["practitioner", "front_desk", "billing", "auditor"])
def test_no_other_role_manages_members(make: Make, role: str) -> None:
    staff = make(role)
    browser = sign_in(Client(), staff)
    assert api(browser, "get", "/members").status_code == (200 if role == "auditor" else 403)
    assert change(browser, staff, role="clinic_admin").json()["code"] == "forbidden"
    assert api(browser, "delete", f"/members/{staff.membership.id}").status_code == 403
    assert api(browser, "post", "/invitations", INVITATION).status_code == 403
    assert Invitation.objects.count() == 0


def test_another_clinics_members_are_not_found(make: Make, admin: Client) -> None:
    foreign = make(slug="other")
    for key in (foreign.membership.id, uuid4(), new_id(), "x", "' OR 1=1"):
        assert api(admin, "patch", f"/members/{key}", {"role": "billing"}).json()["code"] == "not_found"
        assert api(admin, "delete", f"/members/{key}").status_code == 404
    foreign.membership.refresh_from_db()
    assert foreign.membership.role == "front_desk"


@pytest.mark.parametrize(
    "body",
    [
        {"clinic": "other"},
        {"role": "program"},
        {"role": "owner"},
        {"is_active": False},
        {"person": "x"},
        {"calendar": 5},
        {"id": "x"},
    ],
)
def test_unknown_fields_and_roles_change_nothing(make: Make, admin: Client, body: dict[str, object]) -> None:
    staff = make()
    assert change(admin, staff, **body).json()["code"] == "validation_failed"
    staff.membership.refresh_from_db()
    assert (staff.membership.role, staff.membership.clinic_id) == ("front_desk", "harbor")


def test_an_invitation_is_made_once_under_one_key(admin: Client) -> None:
    admin.cookies["csrftoken"] = "a" * 32
    headers = {"idempotency-key": "k" * 20, "x-csrftoken": "a" * 32}
    first, second = (
        admin.post("/api/auth/v1/invitations", json.dumps(INVITATION), content_type="application/json", headers=headers)
        for _ in range(2)
    )
    assert first.status_code == second.status_code == 201
    assert second["Idempotent-Replayed"] == "true"
    assert first.json() == second.json()
    made = Invitation.objects.get()
    assert (made.email, made.clinic_id, made.token) == ("new.person@example.org", "harbor", None)


@pytest.mark.parametrize(
    "change_",
    [
        {"email": "nobody"},
        {"email": "a@b\r\nBcc: c@d"},
        {"name": " "},
        {"name": "a\u202eb"},
        {"role": "program"},
        {"clinic": "other"},
    ],
)
def test_an_invitation_that_is_not_right_is_refused(admin: Client, change_: dict[str, str]) -> None:
    assert api(admin, "post", "/invitations", {**INVITATION, **change_}).json()["code"] == "validation_failed"
    assert Invitation.objects.count() == 0


@pytest.mark.parametrize("taken", ["removed", "changed"])
def test_no_invitation_from_before_gives_back_what_was_taken(make: Make, admin: Client, taken: str) -> None:
    staff = make("clinic_admin")
    own = {"clinic_id": "harbor", "name": "x", "role": "clinic_admin"}
    Invitation.objects.create(email=staff.person.email, invited_by="somebody", **own)
    Invitation.objects.create(email="friend@example.org", invited_by=str(staff.person.id), **own)
    Invitation.objects.create(email="stranger@example.org", invited_by="somebody", **own)

    answer = (
        change(admin, staff, role="front_desk") if taken == "changed" else api(admin, "delete", f"/members/{staff.membership.id}")
    )

    assert answer.status_code in (200, 204)
    assert list(Invitation.objects.filter(used_at=None).values_list("email", flat=True)) == ["stranger@example.org"]
