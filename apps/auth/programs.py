"""Programs of a clinic, and apps through which its staff work: made, given a new secret, disabled."""

from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest
from oauth2_provider.generators import generate_client_id
from oauth2_provider.models import Application, Grant, RefreshToken

from apps.auth import oauth, rights
from apps.auth.models import Program
from apps.auth.words import new_secret
from apps.kernel import audit, revocations
from apps.kernel.problems import NotFound, ValidationFailed
from apps.kernel.tokens import Claims

Who = Claims | str
_PROGRAM = {
    "client_type": Application.CLIENT_CONFIDENTIAL,
    "authorization_grant_type": Application.GRANT_CLIENT_CREDENTIALS,
}
_APP = {"client_type": Application.CLIENT_PUBLIC, "authorization_grant_type": Application.GRANT_AUTHORIZATION_CODE}


class Made(NamedTuple):
    """`secret` is empty for an app; otherwise this is the only time that it can be read."""

    program: Program
    secret: str


def make(request: HttpRequest | None, who: Who, *, clinic: str, name: str, redirect_uris: list[str]) -> Made:
    """A program, or with redirect addresses an app. Needs a transaction."""
    kind, secret = (_APP, "") if redirect_uris else (_PROGRAM, new_secret())
    application = Application.objects.create(
        client_id=generate_client_id(),
        client_secret=oauth.secret_digest(secret) if secret else "",
        hash_client_secret=False,  # it is a digest already, see Validator._check_secret
        name=name,
        redirect_uris=" ".join(redirect_uris),
        **kind,
    )
    actor = who.subject if isinstance(who, Claims) else who
    program = Program.objects.create(application=application, clinic_id=clinic, created_by=actor)
    _record(request, who, "program.create", program)
    return Made(program, secret)


def new_secret_for(request: HttpRequest, who: Claims, key: UUID | None) -> Made:
    """Another secret instead of the old one, whose tokens end too. Raises NotFound, ValidationFailed. Needs a transaction."""
    program = _locked(key, clinic=who.clinic)
    if program.disabled_at or program.application.client_type != Application.CLIENT_CONFIDENTIAL:
        raise ValidationFailed("Only a program that is not disabled has a secret.")
    secret = new_secret()
    Application.objects.filter(id=program.application_id).update(client_secret=oauth.secret_digest(secret))
    rights.end(revocations.subject(oauth.subject(program.application.client_id)))
    _record(request, who, "program.new_secret", program)
    return Made(program, secret)


def disable(request: HttpRequest, who: Claims, key: UUID | None) -> None:
    """For good, with every token, everywhere within 5 s. Raises NotFound. Needs a transaction."""
    program = _locked(key, clinic=who.clinic)
    if program.disabled_at is None:
        Program.objects.filter(id=program.id).update(disabled_at=Now())
        rights.end(revocations.subject(oauth.subject(program.application.client_id)))
        end_grants(RefreshToken.objects.filter(application=program.application_id))
        _record(request, who, "program.disable", program)


def end_grants_of(person: UUID, *, clinic: str | None = None) -> None:
    """Ends what a person allowed apps to do, in one clinic or everywhere. Needs a transaction."""
    codes = Grant.objects.filter(user=person)
    (codes.filter(application__program__clinic=clinic) if clinic is not None else codes).delete()
    found = RefreshToken.objects.filter(user=person)
    end_grants(found.filter(application__program__clinic=clinic) if clinic is not None else found)


def end_grants(tokens: QuerySet[Any]) -> None:
    oauth.end_families(list(tokens.filter(revoked=None).values_list("token_family", flat=True).distinct()))


def _locked(key: UUID | None, *, clinic: str) -> Program:
    found = Program.objects.select_for_update(of=("self",)).select_related("application")
    program = found.filter(id=key, clinic_id=clinic).first() if key else None
    if program is None:
        raise NotFound("No such program.")
    return program


def _record(request: HttpRequest | None, who: Who, action: str, program: Program) -> None:
    details = {"client": program.application.client_id}
    audit.record(request, who, action, clinic=program.clinic_id, object=f"program:{program.id}", details=details)
