"""Claims to payers: what a biller adds to a charge, and the 837P file that comes of it, the profile and records."""

import base64
from datetime import UTC, date, datetime
from functools import cache
from hashlib import blake2b
from uuid import UUID
from zoneinfo import ZoneInfo

from django.conf import settings

from apps.billing import invoices, x12
from apps.billing.errors import ChargeNotBillable, ClaimIncomplete
from apps.billing.models import Charge, Claim, Profile
from apps.billing.money import as_decimal
from apps.billing.people import Person, person
from apps.billing.rules import Reason
from apps.billing.shapes import ClaimIn
from apps.kernel.problems import NotFound
from apps.kernel.sealing import seal, unseal

_SEXES = {"f": "F", "female": "F", "m": "M", "male": "M"}


def make(given: ClaimIn, charge_id: UUID, *, clinic: str) -> Claim:
    """A claim for a visit's charge. Raises NotFound, ChargeNotBillable."""
    charge = Charge.objects.select_for_update().filter(id=charge_id, clinic=clinic).first()
    if charge is None:
        raise NotFound("No such charge.")
    ready = charge.reason == Reason.VISIT and charge.amount and charge.patient and charge.code and charge.waived_at is None
    if not ready or charge.currency != "USD":
        raise ChargeNotBillable("A claim is for a visit with a patient, a code and a price in US dollars.", charge=charge.id)
    if Claim.objects.filter(charge=charge).exists():
        raise ChargeNotBillable("There is a claim for it already.", charge=charge.id)
    claim = Claim(
        clinic=clinic,
        number=invoices.next_number(clinic, "claim"),
        charge=charge,
        payer_id=given.payer.id,
        payer_name=given.payer.name,
        filing=given.payer.filing,
        diagnoses=[code.replace(".", "") for code in given.diagnoses],
        created_at=datetime.now(UTC),
    )
    if given.rendering is not None:
        doctor = given.rendering
        claim.rendering_npi, claim.rendering_family, claim.rendering_given = doctor.npi, doctor.family, doctor.given
    claim.subscriber = seal(given.subscriber_id.encode(), key=_key(), row=claim.id.bytes)
    claim.save(force_insert=True)
    return claim


def as_837p(claim: Claim) -> str:
    """The claim as a file for the clearing house; asks records. Raises ClaimIncomplete, Unavailable."""
    profile = Profile.objects.filter(clinic=claim.clinic).first()
    if profile is None:
        raise ClaimIncomplete(["profile"])
    patient = person(claim.charge.patient or "", clinic=claim.clinic)
    missing = [*_profile_lacks(profile), *_patient_lacks(patient)]
    if missing:
        raise ClaimIncomplete(missing)
    envelope = x12.Envelope(
        submitter=x12.Party(profile.submitter_id, profile.name),
        receiver=x12.Party(profile.receiver_id, profile.receiver_name),
        control=claim.number,
        # When it was made, not when it is drawn: the same claim gives the same file.
        at=claim.created_at.astimezone(ZoneInfo(profile.zone)),
        production=profile.production,
    )
    return x12.interchange(_clinic(profile), [_claim(claim, patient, ZoneInfo(profile.zone))], envelope)


def subscriber_id(claim: Claim) -> str:
    """The patient's number at the payer."""
    return unseal(bytes(claim.subscriber), key=_key(), row=claim.id.bytes).decode()


def _clinic(profile: Profile) -> x12.Clinic:
    return x12.Clinic(
        name=profile.name,
        address=x12.Address(profile.line, profile.city, profile.state, profile.postal_code),
        npi=profile.npi,
        tax_id=profile.tax_id,
        taxonomy=profile.taxonomy,
        contact=profile.contact,
        phone=profile.phone,
    )


def _claim(claim: Claim, patient: Person, zone: ZoneInfo) -> x12.Claim:
    charge = claim.charge
    service = x12.Service(
        code=charge.code,
        modifiers=tuple(charge.modifiers),
        place=charge.place,
        amount=as_decimal(charge.amount or 0, charge.currency),
        on=charge.starts.astimezone(zone).date(),
    )
    subscriber = x12.Person(
        family=patient.family,
        given=patient.given,
        date_of_birth=date.fromisoformat(patient.date_of_birth),
        sex=_SEXES.get(patient.sex.lower(), "U"),
        address=x12.Address(patient.line, patient.city, patient.state, patient.postal_code),
    )
    doctor = x12.Practitioner(claim.rendering_family, claim.rendering_given, claim.rendering_npi)
    return x12.Claim(
        number=f"{claim.number:09d}",
        subscriber=subscriber,
        subscriber_id=subscriber_id(claim),
        payer=x12.Party(claim.payer_id, claim.payer_name),
        filing=claim.filing,
        diagnoses=tuple(claim.diagnoses),
        service=service,
        rendering=doctor if doctor.npi else None,
    )


def _profile_lacks(profile: Profile) -> list[str]:
    needed = ("name", "line", "city", "state", "contact", "phone", "npi", "tax_id", "taxonomy", "submitter_id", "receiver_id")
    lacks = [f"profile.{field}" for field in (*needed, "receiver_name") if not x12.writable(getattr(profile, field))]
    # Of the one who bills a payer wants all nine digits.
    return lacks + ["profile.postal_code"] * (len(profile.postal_code.replace("-", "")) != 9)


def _patient_lacks(patient: Person) -> list[str]:
    lacks = [
        f"patient.{field}" for field in ("family", "given", "line", "city", "state") if not x12.writable(getattr(patient, field))
    ]
    lacks += ["patient.postal_code"] * (len([c for c in patient.postal_code if c.isdigit()]) not in (5, 9))
    try:
        date.fromisoformat(patient.date_of_birth)
    except ValueError:
        lacks.append("patient.date_of_birth")
    return lacks


@cache
def _key() -> str:
    key = blake2b(settings.SECRET_KEY.encode(), digest_size=32, person=b"billing-claims").digest()
    return base64.b64encode(key).decode()
