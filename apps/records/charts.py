"""What is written about a patient: notes, consents, documents. Nothing is overwritten. In the caller's transaction."""

import json
from uuid import UUID

from apps.kernel import events
from apps.kernel.ids import as_id, new_id
from apps.kernel.problems import NotFound, VersionConflict
from apps.records import contents
from apps.records.encryption import Cipher
from apps.records.keys import keyring
from apps.records.models import Consent, Document, Note, NoteVersion, Patient, Visit
from apps.records.shapes import AmendIn, ConsentIn, DocumentIn, NoteIn


def write_note(patient: Patient, family: list[UUID], wanted: NoteIn, *, author: str) -> Note:
    """A new note, in its first version. Raises NotFound for an appointment that is not this patient's."""
    appointment = _appointment(patient.clinic, family, wanted.appointment) if wanted.appointment else None
    note = Note(id=new_id(), clinic=patient.clinic, patient=patient.id, appointment=appointment)
    note.save(force_insert=True)
    _add_version(note, wanted.text, signed=wanted.signed, author=author)
    return note


def amend_note(note: Note, wanted: AmendIn, *, author: str) -> Note:
    """The note's next version. Of two who amend the same version one is first, the other gets VersionConflict."""
    locked = Note.objects.select_for_update().get(id=note.id)
    if locked.version != wanted.version:
        raise VersionConflict()
    locked.version += 1
    locked.save(update_fields=["version"])
    _add_version(locked, wanted.text, signed=wanted.signed, author=author)
    return locked


def say_consent(patient: Patient, wanted: ConsentIn, *, actor: str) -> Consent:
    """Consent given or taken back; the newest word counts."""
    consent = Consent(
        id=new_id(),
        clinic=patient.clinic,
        patient=patient.id,
        purpose=wanted.purpose,
        channel=wanted.channel,
        granted=wanted.granted,
        actor=actor,
    )
    consent.save(force_insert=True)
    told = {"patient": str(patient.id), "clinic": patient.clinic}
    events.record(type="consent.changed", clinic=patient.clinic, subject=str(patient.id), data=told)
    return consent


def keep_document(patient: Patient, wanted: DocumentIn, *, author: str) -> Document:
    """A file, if it is what it says and nothing that acts. Raises ValidationFailed."""
    content = contents.checked(wanted.content, type_=wanted.type)
    key, cipher = new_id(), keyring().of(patient.id, clinic=patient.clinic)
    about = json.dumps({"name": wanted.name, "type": wanted.type}).encode()
    document = Document(
        id=key,
        clinic=patient.clinic,
        patient=patient.id,
        about=cipher.seal_bytes(about, table="document", row=key, column="about"),
        content=cipher.seal_bytes(content, table="document", row=key, column="content"),
        size=len(content),
        author=author,
    )
    document.save(force_insert=True)
    return document


def about(document: Document, cipher: Cipher) -> dict[str, str]:
    """A document's {"name", "type"}."""
    found: dict[str, str] = json.loads(cipher.unseal_bytes(document.about, table="document", row=document.id, column="about"))
    return found


def content(document: Document, cipher: Cipher) -> bytes:
    return cipher.unseal_bytes(document.content, table="document", row=document.id, column="content")


def _appointment(clinic: str, family: list[UUID], name: str) -> UUID:
    known = as_id(name)
    if known is None or not Visit.objects.filter(clinic=clinic, appointment=known, patient__in=family).exists():
        raise NotFound("No such appointment of this patient.")
    return known


def _add_version(note: Note, text: str, *, signed: bool, author: str) -> None:
    key, cipher = new_id(), keyring().of(note.patient, clinic=note.clinic)
    sealed = cipher.seal_bytes(text.encode(), table="note", row=key, column="text")
    NoteVersion.objects.create(
        id=key, clinic=note.clinic, note=note, number=note.version, text=sealed, signed=signed, author=author
    )
