"""What the outside calls: the SMS provider, and the links in our e-mails."""

from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST

from apps.kernel.callers import limited
from apps.kernel.http import client_address
from apps.kernel.ids import as_id
from apps.kernel.limits import Limit
from apps.kernel.problems import Forbidden, Unavailable
from apps.kernel.services import ServiceDown
from apps.notifications import contacts, optouts, sms
from apps.notifications.models import Message

_STOP = frozenset({"stop", "stopall", "unsubscribe", "cancel", "end", "quit"})
_START = frozenset({"start", "yes", "unstop"})
_NOT_DELIVERED = frozenset({"failed", "undelivered"})
_PUBLIC = Limit("unsubscribe", requests=60, seconds=60)
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
_WORDS = {
    "en": ("Reminders by email", "You will get no more reminders by email.", "No more reminders"),
    "es": ("Recordatorios por correo", "No recibirá más recordatorios por correo.", "No recibir más recordatorios"),
}


@csrf_exempt
@require_POST
def twilio(request: HttpRequest) -> HttpResponse:
    """What became of an SMS, or an SMS to us. Signed by the provider; the same twice is the same as once."""
    form = {name: str(value) for name, value in request.POST.items()}
    # The address that the provider called: what the edge changed on the way is not part of the signature.
    address = settings.ENV.public_url + request.get_full_path()
    if not sms.is_genuine(address, form, request.headers.get("X-Twilio-Signature", "")):
        raise Forbidden("The signature is not the provider's.")
    if "MessageStatus" in form:
        _note_fate(as_id(request.GET.get("message", "")), form)
        return HttpResponse(status=204)
    _hear(form.get("From", ""), form.get("Body", "").strip().lower())
    return HttpResponse("<Response/>", content_type="text/xml")


def _note_fate(message: UUID | None, form: dict[str, str]) -> None:
    if message is None:
        return
    found = Message.objects.filter(id=message, channel="sms", state__in=["sending", "sent"])
    if form["MessageStatus"] in _NOT_DELIVERED:
        code = form.get("ErrorCode", "")
        found.update(
            state=Message.State.FAILED,
            error=f"twilio_{code}" if code.isdigit() else "undelivered",
            provider_id=form["MessageSid"][:64],
        )
    else:
        # Also for one whose sender died before it could note this.
        found.update(state=Message.State.SENT, provider_id=form["MessageSid"][:64], error="")


def _hear(sender: str, said: str) -> None:
    if said not in _STOP | _START:
        return
    try:
        patients = contacts.patients_with(sender)
    except ServiceDown:
        # The provider keeps the STOP as well, and refuses what we send until we know.
        raise Unavailable(retry_after=60) from None
    if said in _STOP:
        optouts.stop(patients, "sms")
    else:
        optouts.start(patients, "sms")


@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
def unsubscribe(request: HttpRequest, token: str) -> HttpResponse:
    """GET asks, because mail programs look at links by themselves; POST does it, also from a mail program (RFC 8058)."""
    limited(_PUBLIC, client_address(request))
    patient = optouts.patient_of(token)
    done = request.method == "POST"
    if done:
        optouts.stop([patient], "email")
    spanish = request.headers.get("Accept-Language", "").lower().startswith("es")
    language = "es" if spanish else "en"
    title, news, button = _WORDS[language]
    response = render(
        request, "unsubscribe.html", {"language": language, "title": title, "news": news if done else "", "button": button}
    )
    response["Content-Security-Policy"] = _POLICY
    response["Referrer-Policy"] = "no-referrer"
    return response
