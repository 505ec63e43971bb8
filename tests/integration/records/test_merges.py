"""One person, two records: found, merged without a loss, and taken apart again."""

import threading
from typing import Any

import pytest
from django.db import connection, connections

from apps.kernel.models import OutboxEvent
from apps.records.models import Patient
from tests.integration.records.room import ADA, Room, sealed, send, told

OTHER: dict[str, Any] = {
    "name": "Ada Canary-Lovelace",
    "phones": ["+1 212 555 0100"],
    "emails": ["lovelace@example.org"],
    "sex": "female",
    "identifiers": [{"system": "insurer", "value": "B-2"}],
}


def merge(room: Room, source: str, into: str, *, status: int = 200) -> Any:
    return send(room.client("clinic_admin"), "post", f"/patients/{into}/merge", {"source": source}, status=status)


@pytest.mark.django_db
def test_duplicates_are_scored_with_reasons(room: Room) -> None:
    patient = room.patient()["id"]
    near = room.patient(name="Ada Canari", emails=[], phones=["415 555 2671"])["id"]
    room.patient(name="Bob Sparrow", emails=["bob@example.org"], phones=[])
    exchanged = room.patient(birth_date="1990-03-02", phones=[])["id"]

    found = send(room.client("front_desk"), "get", f"/patients/{patient}/duplicates")["items"]

    assert {one["id"]: one["reasons"] for one in found} == {
        near: ["similar name", "same birth date", "same telephone number"],
        exchanged: ["same name", "birth date with day and month exchanged", "same e-mail address"],
    }
    assert all(0.6 <= one["score"] <= 1 for one in found)
    suspects = send(room.client("front_desk"), "get", "/duplicates")["items"]
    assert {one["id"] for one in suspects} == {near, exchanged}


@pytest.mark.django_db
def test_a_merge_loses_nothing(room: Room) -> None:
    patient, other = room.treated(), room.treated(**OTHER)
    doctor, admin = room.practitioner(), room.client("clinic_admin")
    send(doctor, "post", f"/patients/{other}/notes", {"text": "of the other"}, status=201)
    send(doctor, "post", f"/patients/{patient}/notes", {"text": "of the first"}, status=201)
    send(admin, "post", f"/patients/{other}/consents", {"purpose": "treatment", "granted": True}, status=201)

    merge(room, other, patient)

    whole = send(admin, "get", f"/patients/{patient}")
    assert send(admin, "get", f"/patients/{other}") == whole
    assert whole["name"] == ADA["name"]
    assert whole["aliases"] == [OTHER["name"]]
    assert whole["phones"] == [*ADA["phones"], *OTHER["phones"]]
    assert whole["emails"] == [*ADA["emails"], *OTHER["emails"]]
    assert (whole["sex"], whole["identifiers"]) == ("female", OTHER["identifiers"])
    assert {one["text"] for one in send(doctor, "get", f"/patients/{patient}/notes")["items"]} == {"of the other", "of the first"}
    assert len(send(doctor, "get", f"/patients/{patient}/visits")["items"]) == 2
    assert len(send(admin, "get", f"/patients/{patient}/consents")["items"]) == 1
    for asked in ({"email": OTHER["emails"][0]}, {"name": OTHER["name"]}, {"phone": ADA["phones"][0]}):
        assert [one["id"] for one in send(admin, "post", "/patients/search", asked)["items"]] == [patient]
    assert len(send(admin, "get", f"/patients/{patient}/export")["patients"]) == 2
    fact = OutboxEvent.objects.get(clinic=room.clinic, type="patient.merged.v1")
    assert fact.data == {"from": other, "into": patient, "clinic": room.clinic}


@pytest.mark.django_db
def test_a_booking_of_the_merged_patient_is_the_survivors(room: Room) -> None:
    patient, other = room.patient()["id"], room.patient(**OTHER)["id"]
    merge(room, other, patient)
    said = {"name": OTHER["name"], "date_of_birth": ADA["birth_date"], "phone": OTHER["phones"][0]}

    told(room.fact("booked", sealed=sealed(said)), room.fact("booked", patient=other))

    linked = OutboxEvent.objects.filter(clinic=room.clinic, type="patient.linked.v1")
    assert [fact.data["patient"] for fact in linked] == [patient, patient]


@pytest.mark.django_db
def test_merges_are_undone_the_newest_first(room: Room) -> None:
    a, b, c = (room.patient(name=f"{name} Canary", emails=[f"{name}@example.org"]) for name in ("Ann", "Bea", "Cay"))
    admin = room.client("clinic_admin")
    first = merge(room, a["id"], b["id"])["merge"]
    second = merge(room, b["id"], c["id"])["merge"]
    assert send(admin, "get", f"/patients/{a['id']}")["id"] == c["id"]

    send(admin, "post", f"/patients/{c['id']}/merges/{first}/undo", {}, status=404)
    send(admin, "post", f"/patients/{c['id']}/merges/{second}/undo", {})
    assert send(admin, "get", f"/patients/{a['id']}")["id"] == b["id"]
    assert send(admin, "get", f"/patients/{c['id']}")["emails"] == c["emails"]
    send(admin, "post", f"/patients/{b['id']}/merges/{first}/undo", {})

    for one in (a, b, c):
        assert send(admin, "get", f"/patients/{one['id']}")["emails"] == one["emails"]
        assert [found["id"] for found in send(admin, "post", "/patients/search", {"email": one["emails"][0]})["items"]] == [
            one["id"]
        ]
    send(admin, "post", f"/patients/{b['id']}/merges/{first}/undo", {}, status=404)


@pytest.mark.django_db
def test_after_an_undone_merge_each_has_its_own_appointments(room: Room) -> None:
    patient, other = room.patient()["id"], room.patient(**OTHER)["id"]
    booked = room.fact("booked", patient=other)
    told(booked)
    undo = merge(room, other, patient)["merge"]

    send(room.client("clinic_admin"), "post", f"/patients/{patient}/merges/{undo}/undo", {})

    facts = OutboxEvent.objects.filter(clinic=room.clinic, type="patient.linked.v1").order_by("id")
    assert list(facts.values_list("data", flat=True))[-1] == {
        "appointment": booked["subject"],
        "patient": other,
        "clinic": room.clinic,
    }
    assert send(room.client("front_desk"), "get", f"/patients/{patient}/visits")["items"] == []
    assert len(send(room.client("front_desk"), "get", f"/patients/{other}/visits")["items"]) == 1


@pytest.mark.django_db
def test_what_cannot_be_merged_is_refused(room: Room) -> None:
    patient, other = room.patient()["id"], room.patient(**OTHER)["id"]
    foreign = Room(room.clinic + "x", room.calendar).patient()["id"]

    assert merge(room, patient, patient, status=422)["param"] == "source"
    for source in (foreign, "nonsense", "0192f7e0-0000-7000-8000-000000000000"):
        assert merge(room, source, patient, status=404)["code"] == "not_found"
    merge(room, other, patient)
    assert merge(room, other, patient, status=409)["code"] == "version_conflict"
    assert Patient.objects.filter(clinic=room.clinic, merged_into=None).count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_into_b_and_b_into_a_at_once_leave_one_of_them(room: Room) -> None:
    patient, other = room.patient()["id"], room.patient(**OTHER)["id"]
    at_once, answers = threading.Barrier(2), list[int]()

    def one(source: str, into: str) -> None:
        admin = room.client("clinic_admin")
        at_once.wait()
        answer = admin.post(f"/api/records/v1/patients/{into}/merge", {"source": source}, content_type="application/json")
        answers.append(answer.status_code)
        connections.close_all()

    threads = [threading.Thread(target=one, args=pair) for pair in ((patient, other), (other, patient))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    # The second may find itself merged already when it asks, and is then told that both are the same patient.
    assert sorted(answers)[0] == 200
    assert sorted(answers)[1] in (409, 422)
    assert Patient.objects.filter(clinic=room.clinic, merged_into=None).count() == 1
    assert connection.is_usable()
