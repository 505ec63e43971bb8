"""Notes, consents and documents: nothing is overwritten, and no file comes in that acts or hides something."""

import base64
import threading
import zlib
from typing import Any

import pytest
from django.db import connections

from apps.kernel.models import OutboxEvent
from apps.records.contents import _EICAR
from apps.records.models import Document, NoteVersion
from tests.integration.records.room import Room, raw, send

PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00" + b"\x00" * 40 + b"\xff\xd9"


def _png(extra: bytes = b"") -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    head = chunk(b"IHDR", b"\x00\x00\x00\x01\x00\x00\x00\x01\x08\x00\x00\x00\x00")
    body = (chunk(b"tEXt", extra) if extra else b"") + chunk(b"IDAT", zlib.compress(b"\x00\x00"))
    return b"\x89PNG\r\n\x1a\n" + head + body + chunk(b"IEND", b"")


# --- notes --------------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_an_amended_note_keeps_all_its_versions(room: Room) -> None:
    patient, doctor = room.treated(), room.practitioner(subject="dr:7")
    note = send(doctor, "post", f"/patients/{patient}/notes", {"text": "first\n\tword"}, status=201)

    wanted = {"version": 1, "text": "second word", "signed": True}
    amended = send(doctor, "post", f"/patients/{patient}/notes/{note['id']}/amend", wanted, status=201)

    history = send(doctor, "get", f"/patients/{patient}/notes/{note['id']}")["items"]
    assert [(one["version"], one["text"], one["signed"], one["author"]) for one in history] == [
        (1, "first\n\tword", False, "dr:7"),
        (2, "second word", True, "dr:7"),
    ]
    assert send(doctor, "get", f"/patients/{patient}/notes")["items"] == [amended]


@pytest.mark.django_db(transaction=True)
def test_of_two_writers_of_one_note_one_is_told_to_read_again(room: Room) -> None:
    patient, doctor = room.treated(), room.practitioner()
    note = send(doctor, "post", f"/patients/{patient}/notes", {"text": "first"}, status=201)["id"]
    at_once, answers = threading.Barrier(2), list[tuple[int, Any]]()

    def amend(text: str) -> None:
        at_once.wait()
        answer = raw(room.practitioner(), "post", f"/patients/{patient}/notes/{note}/amend", {"version": 1, "text": text})
        answers.append((answer.status_code, answer.json().get("code")))
        connections.close_all()

    threads = [threading.Thread(target=amend, args=(text,)) for text in ("mine", "yours")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(answers) == [(201, None), (409, "version_conflict")]
    assert NoteVersion.objects.filter(note=note).count() == 2


@pytest.mark.django_db
def test_a_note_belongs_to_an_appointment_of_the_patient(room: Room) -> None:
    patient, other, doctor = room.treated(), room.treated(name="Other Canary"), room.practitioner()
    theirs = send(doctor, "get", f"/patients/{other}/visits")["items"][0]["appointment"]
    mine = send(doctor, "get", f"/patients/{patient}/visits")["items"][0]["appointment"]

    send(doctor, "post", f"/patients/{patient}/notes", {"text": "x", "appointment": theirs}, status=404)
    note = send(doctor, "post", f"/patients/{patient}/notes", {"text": "x", "appointment": mine}, status=201)

    assert note["appointment"] == mine
    send(doctor, "get", f"/patients/{other}/notes/{note['id']}", status=404)


@pytest.mark.django_db
@pytest.mark.parametrize("text", ["", " \n", "a\x00b", "x" * 20_001, "a\u202eb"])
def test_a_note_is_readable_text(room: Room, text: str) -> None:
    patient = room.treated()

    assert send(room.practitioner(), "post", f"/patients/{patient}/notes", {"text": text}, status=422)["param"] == "text"


# --- consents -----------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_consent_is_said_again_and_never_changed(room: Room) -> None:
    patient, desk = room.patient()["id"], room.client("front_desk")
    for granted in (True, False):
        said = {"purpose": "messages", "channel": "sms", "granted": granted}
        send(desk, "post", f"/patients/{patient}/consents", said, status=201)

    told = send(desk, "get", f"/patients/{patient}/consents")["items"]

    assert [(one["channel"], one["granted"], one["actor"]) for one in told] == [
        ("sms", True, "test:front_desk"),
        ("sms", False, "test:front_desk"),
    ]
    assert OutboxEvent.objects.filter(clinic=room.clinic, type="consent.changed.v1", subject=patient).count() == 2
    wrong = {"purpose": "messages", "granted": True}
    assert send(desk, "post", f"/patients/{patient}/consents", wrong, status=422)["code"] == "validation_failed"


# --- documents ----------------------------------------------------------------------------------------------------------


def upload(room: Room, patient: str, content: bytes, type_: str, *, name: str = "letter") -> Any:
    body = {"name": name, "type": type_, "content": base64.b64encode(content).decode()}
    return raw(room.practitioner(), "post", f"/patients/{patient}/documents", body)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("content", "type_"),
    [
        (PDF, "application/pdf"),
        (_png(), "image/png"),
        (JPEG, "image/jpeg"),
        ("Fièvre 38.5\n\tseit gestern, < 3 Tage".encode(), "text/plain"),
        (b"x" * 5 * 1024 * 1024, "text/plain"),
    ],
    ids=["pdf", "png", "jpeg", "text", "5 MiB"],
)
def test_a_document_comes_back_as_it_was_and_is_only_saved(room: Room, content: bytes, type_: str) -> None:
    patient = room.treated()

    kept = upload(room, patient, content, type_, name='../Befund "ä".pdf')
    answer = raw(room.practitioner(), "get", f"/patients/{patient}/documents/{kept.json()['id']}")

    assert kept.status_code == 201, kept.content
    assert answer.content == content
    assert answer["Content-Type"] == type_
    assert answer["Content-Disposition"].startswith("attachment; filename")
    assert "/" not in answer["Content-Disposition"].removeprefix("attachment")
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Security-Policy"].startswith("sandbox")
    listed = send(room.practitioner(), "get", f"/patients/{patient}/documents")["items"]
    assert listed == [kept.json()]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("content", "type_"),
    [
        (_EICAR, "text/plain"),
        (PDF.replace(b"trailer", _EICAR + b"trailer"), "application/pdf"),
        (PDF, "image/png"),
        (_png(), "image/jpeg"),
        (JPEG, "text/plain"),
        (PDF, "text/plain"),
        (b"<html><body>hi</body></html>", "text/plain"),
        (b"hello <ScRiPt>alert(1)</script>", "text/plain"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "text/plain"),
        (b"#!/bin/sh\nrm -rf /\n", "text/plain"),
        (b"MZ this program cannot be run in DOS mode", "text/plain"),
        (b"PK\x03\x04\x14\x00\x00\x00", "text/plain"),
        (b"\xff\xfeh\x00i\x00", "text/plain"),
        (_png(b"Comment\x00<script>alert(1)</script>"), "image/png"),
        (_png() + b"PK\x03\x04\x14\x00\x00\x00" + b"PK\x05\x06\x00\x00" + b"\x00" * 18, "image/png"),
        (_png() + b"<?php system($_GET[1]);", "image/png"),
        (JPEG + PDF, "image/jpeg"),
        (JPEG[:-2], "image/jpeg"),
        (PDF + b"PK\x05\x06\x00\x00", "application/pdf"),
        (PDF.replace(b"/Pages", b"/OpenAction<</S/JavaScript/JS(app.alert(1))>>/Pages"), "application/pdf"),
        (PDF.replace(b"/Pages", b"/OpenAction<</S/#4a#61vaScript>>/Pages"), "application/pdf"),
        (PDF.replace(b"/Pages", b"/Names<</EmbeddedFiles 3 0 R>>/Pages"), "application/pdf"),
        (PDF.replace(b"/Pages", b"/A<</S/Launch>>/Pages"), "application/pdf"),
        (b"%PDF-1.4 <html><script>1</script> \n%%EOF", "application/pdf"),
        (b"", "text/plain"),
        (b"x" * (5 * 1024 * 1024 + 1), "text/plain"),
    ],
)
def test_a_file_that_acts_hides_or_lies_is_refused(room: Room, content: bytes, type_: str) -> None:
    patient = room.treated()

    refused = upload(room, patient, content, type_)

    assert (refused.status_code, refused.json()["code"], refused.json()["param"]) == (422, "validation_failed", "content")
    assert not Document.objects.filter(clinic=room.clinic).exists()


@pytest.mark.django_db
@pytest.mark.parametrize("type_", ["text/html", "image/svg+xml", "application/zip", "application/x-msdownload", ""])
def test_other_types_are_not_taken(room: Room, type_: str) -> None:
    patient = room.treated()

    assert upload(room, patient, b"hello", type_).json()["param"] == "type"
