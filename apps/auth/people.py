"""Who works where: invitations, memberships, passwords. Each write is one transaction with its fact and its audit entry."""

from django.contrib.auth.password_validation import validate_password
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.http import HttpRequest

from apps.auth import factors, programs, rights, sessions
from apps.auth.models import Clinic, Invitation, KnownDevice, Membership, PasswordReset, Person, Role, Session
from apps.auth.words import normal_email
from apps.kernel import audit, events, revocations
from apps.kernel.problems import ValidationFailed
from apps.kernel.texts import language_of
from apps.kernel.tokens import Claims

Who = Claims | str


def invite(request: HttpRequest, who: Claims, *, email: str, name: str, role: str, calendar: str) -> Invitation:
    """An invitation to the clinic of `who`; its letter is sent at the next tick. Raises ValidationFailed."""
    _check_calendar(role, calendar)
    invitation = Invitation.objects.create(
        clinic_id=who.clinic,
        email=normal_email(email),
        name=name,
        role=role,
        calendar=calendar,
        invited_by=who.subject,
        language=language_of(request),
    )
    audit.record(request, who, "member.invite", object=f"invitation:{invitation.id}", details={"role": role})
    return invitation


def accept(request: HttpRequest, invitation: Invitation, *, password: str | None) -> Person:
    """Makes the person, when the address is new (then a valid password is needed), and the membership. Raises ValidationError."""
    with transaction.atomic():
        person = Person.objects.select_for_update().filter(email=invitation.email).first()
        if person is None:
            person = Person(email=invitation.email, name=invitation.name)
            validate_password(password or "", person)
            person.set_password(password)
            person.save()
        Invitation.objects.filter(id=invitation.id).update(used_at=Now())
        existing = Membership.objects.filter(person=person, clinic_id=invitation.clinic_id).first()
        if existing is not None:
            change(request, str(person.id), existing, role=invitation.role, calendar=invitation.calendar)
        else:
            add(
                person,
                invitation.clinic,
                role=invitation.role,
                calendar=invitation.calendar,
                request=request,
                who=str(person.id),
            )
    return person


def add(
    person: Person, clinic: Clinic, *, role: str, calendar: str, who: Who = "system", request: HttpRequest | None = None
) -> Membership:
    """A new membership. Raises ValidationFailed. Needs a transaction."""
    _check_calendar(role, calendar)
    membership = Membership.objects.create(person=person, clinic=clinic, role=role, calendar=calendar)
    _tell(request, who, "member.added", membership)
    return membership


def change(request: HttpRequest | None, who: Who, membership: Membership, *, role: str, calendar: str) -> None:
    """Another role or calendar. Ends what is open in the old one. Raises ValidationFailed. Needs a transaction."""
    _check_calendar(role, calendar)
    if (membership.role, membership.calendar) == (role, calendar):
        return
    if role != Role.CLINIC_ADMIN:
        _keep_an_administrator(membership)
    membership.role, membership.calendar = role, calendar
    membership.save(update_fields=["role", "calendar"])
    _end_there(membership)
    _withdraw_invitations(membership)
    _tell(request, who, "member.changed", membership)


def remove(request: HttpRequest | None, who: Who, membership: Membership) -> None:
    """The person leaves the clinic, at once on every open page. Raises ValidationFailed. Needs a transaction."""
    _keep_an_administrator(membership)
    _end_there(membership)
    _withdraw_invitations(membership)
    _tell(request, who, "member.removed", membership)
    membership.delete()


def _withdraw_invitations(membership: Membership) -> None:
    """No link from before gives back what is taken now: neither one to the person nor one that the person made."""
    open_ = Invitation.objects.filter(clinic=membership.clinic_id, used_at=None)
    open_.filter(Q(email=membership.person.email) | Q(invited_by=str(membership.person_id))).update(used_at=Now(), due_at=None)


def set_active(person: Person, *, active: bool) -> None:
    """Lets a person in again, or no longer, in every clinic."""
    with transaction.atomic():
        Person.objects.filter(id=person.id).update(is_active=active)
        if not active:
            sessions.end(Session.objects.filter(person=person), reason="disabled")
            programs.end_grants_of(person.id)
            rights.end(revocations.subject(str(person.id)))
        audit.record(None, "system", "person.enable" if active else "person.disable", object=f"person:{person.id}")


def forget_factors(person: Person) -> None:
    """For who has lost all of them, after an operator made sure who it is. Ends every session."""
    with transaction.atomic():
        factors.forget_all(person.id)
        sessions.end(Session.objects.filter(person=person), reason="factors forgotten")
        programs.end_grants_of(person.id)
        audit.record(None, "system", "factor.forget", object=f"person:{person.id}")


def set_password(request: HttpRequest, person: Person, password: str, *, keep: Session | None = None) -> None:
    """A new password; ends every session but `keep` and every app's permission, and no browser is known any more.

    Raises ValidationError.
    """
    validate_password(password, person)
    with transaction.atomic():
        person.set_password(password)
        person.save(update_fields=["password"])
        own = Session.objects.filter(person=person)
        sessions.end(own.exclude(id=keep.id) if keep else own, reason="password changed")
        programs.end_grants_of(person.id)
        KnownDevice.objects.filter(person=person).delete()
        factors.forget_begun(person.id)
        action = "password.change" if keep else "password.reset"
        audit.record(request, str(person.id), action, object=f"person:{person.id}", clinic=keep.clinic_id if keep else "")


def reset_password(request: HttpRequest, reset: PasswordReset, password: str) -> None:
    """Uses the link. Signs nobody in: the second factor is asked for as always. Raises ValidationError."""
    with transaction.atomic():
        set_password(request, Person.objects.select_for_update().get(email=reset.email), password)
        PasswordReset.objects.filter(email=reset.email, used_at=None).update(used_at=Now(), due_at=None)


def _check_calendar(role: str, calendar: str) -> None:
    if calendar and role != Role.PRACTITIONER:
        raise ValidationFailed("Only a practitioner has a calendar of their own.", param="calendar")


def _keep_an_administrator(membership: Membership) -> None:
    if membership.role != Role.CLINIC_ADMIN:
        return
    # The clinic's row is the lock: two administrators who remove each other come one after the other.
    Clinic.objects.select_for_update().get(slug=membership.clinic_id)
    others = Membership.objects.filter(clinic_id=membership.clinic_id, role=Role.CLINIC_ADMIN, person__is_active=True)
    if not others.exclude(id=membership.id).exists():
        raise ValidationFailed("A clinic keeps at least one administrator.", param="role")


def _end_there(membership: Membership) -> None:
    person, clinic = str(membership.person_id), membership.clinic_id
    list(Membership.objects.select_for_update().filter(id=membership.id))  # an app's next token waits, see oauth.Validator
    sessions.end(Session.objects.filter(person=membership.person_id, clinic=clinic), reason="role changed")
    programs.end_grants_of(membership.person_id, clinic=clinic)
    rights.end(revocations.member(person, clinic=clinic))


def _tell(request: HttpRequest | None, who: Who, fact: str, membership: Membership) -> None:
    data = {"subject": str(membership.person_id), "clinic": membership.clinic_id, "role": membership.role}
    events.record(type=fact, clinic=membership.clinic_id, subject=str(membership.person_id), data=data)
    verb = {"member.added": "add", "member.changed": "change", "member.removed": "remove"}[fact]
    details = {"role": membership.role, "calendar": membership.calendar}
    audit.record(
        request, who, f"member.{verb}", object=f"person:{membership.person_id}", clinic=membership.clinic_id, details=details
    )
