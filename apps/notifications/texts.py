"""What messages say, in English and Spanish: the whole catalogue, and how it becomes an e-mail or an SMS.

A subject and an SMS are read by whoever holds the phone: they name the clinic and the time, never the practitioner, the kind
of visit or the patient. A text knows the variables of `Facts` and no logic; what a variable holds is never looked at again.
"""

from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from babel.dates import format_datetime
from django.template import Context, Engine, Template

LANGUAGES = ("en", "es")
KINDS = ("confirmation", "reminder", "moved", "cancelled", "no_show", "waitlist_offer")


class Text(NamedTuple):
    """One message. `body` has one paragraph a line."""

    subject: str
    body: str
    sms: str


@dataclass(frozen=True)
class Facts:
    """What a text may say. `when` is a whole sentence part, `link` leads to the patient's own page or the booking page."""

    name: str
    clinic: str
    when: str
    where: str
    link: str


CATALOGUE: dict[str, dict[str, Text]] = {
    "en": {
        "confirmation": Text(
            "Your visit at {{ clinic }}: {{ when }}",
            "Hello {{ name }},\nyour visit at {{ clinic }} is booked for {{ when }}.\n{{ where }}\n"
            "You can see, move or cancel it here:\n{{ link }}",
            "{{ clinic }}: your visit is booked for {{ when }}. See, move or cancel it: {{ link }} Reply STOP to opt out.",
        ),
        "reminder": Text(
            "Reminder: your visit at {{ clinic }}, {{ when }}",
            "Hello {{ name }},\nthis is a reminder of your visit at {{ clinic }} on {{ when }}.\n{{ where }}\n"
            "If you cannot come, please move or cancel it, so that somebody else can have the time:\n{{ link }}",
            "{{ clinic }}: reminder of your visit on {{ when }}. Move or cancel it: {{ link }} Reply STOP to opt out.",
        ),
        "moved": Text(
            "Your visit at {{ clinic }} has moved: {{ when }}",
            "Hello {{ name }},\nyour visit at {{ clinic }} has a new time: {{ when }}.\n{{ where }}\n"
            "If this does not suit you, choose another time or cancel it here:\n{{ link }}",
            "{{ clinic }}: your visit has moved to {{ when }}. See, move or cancel it: {{ link }}",
        ),
        "cancelled": Text(
            "Your visit at {{ clinic }} is cancelled: {{ when }}",
            "Hello {{ name }},\nyour visit at {{ clinic }} on {{ when }} is cancelled.\nYou can book another one here:\n{{ link }}",
            "{{ clinic }}: your visit on {{ when }} is cancelled. Book another one: {{ link }}",
        ),
        "no_show": Text(
            "We missed you at {{ clinic }}: {{ when }}",
            "Hello {{ name }},\nwe expected you at {{ clinic }} on {{ when }} and are sorry that we missed you.\n"
            "You can book another visit here:\n{{ link }}",
            "{{ clinic }}: we missed you on {{ when }}. Book another visit: {{ link }}",
        ),
        "waitlist_offer": Text(
            "A time is free at {{ clinic }}: {{ when }}",
            "Hello {{ name }},\na time is free at {{ clinic }}: {{ when }}.\nIt goes to whoever books it first:\n{{ link }}",
            "{{ clinic }}: a time is free, {{ when }}. It goes to whoever books first: {{ link }} Reply STOP to opt out.",
        ),
    },
    "es": {
        "confirmation": Text(
            "Su cita en {{ clinic }}: {{ when }}",
            "Hola, {{ name }}:\nsu cita en {{ clinic }} está reservada para el {{ when }}.\n{{ where }}\n"
            "Puede verla, cambiarla o cancelarla aquí:\n{{ link }}",
            "{{ clinic }}: su cita está reservada para el {{ when }}. Verla, cambiarla o cancelarla: {{ link }}"
            " Responda STOP para no recibir más.",
        ),
        "reminder": Text(
            "Recordatorio: su cita en {{ clinic }}, {{ when }}",
            "Hola, {{ name }}:\nle recordamos su cita en {{ clinic }} el {{ when }}.\n{{ where }}\n"
            "Si no puede venir, cámbiela o cancélela, para que otra persona pueda usar la hora:\n{{ link }}",
            "{{ clinic }}: le recordamos su cita el {{ when }}. Cambiarla o cancelarla: {{ link }}"
            " Responda STOP para no recibir más.",
        ),
        "moved": Text(
            "Su cita en {{ clinic }} ha cambiado: {{ when }}",
            "Hola, {{ name }}:\nsu cita en {{ clinic }} tiene una nueva hora: {{ when }}.\n{{ where }}\n"
            "Si no le conviene, elija otra hora o cancélela aquí:\n{{ link }}",
            "{{ clinic }}: su cita ha cambiado al {{ when }}. Verla, cambiarla o cancelarla: {{ link }}",
        ),
        "cancelled": Text(
            "Su cita en {{ clinic }} está cancelada: {{ when }}",
            "Hola, {{ name }}:\nsu cita en {{ clinic }} el {{ when }} está cancelada.\nPuede reservar otra aquí:\n{{ link }}",
            "{{ clinic }}: su cita del {{ when }} está cancelada. Reserve otra: {{ link }}",
        ),
        "no_show": Text(
            "Le esperábamos en {{ clinic }}: {{ when }}",
            "Hola, {{ name }}:\nle esperábamos en {{ clinic }} el {{ when }} y sentimos no haberle visto.\n"
            "Puede reservar otra cita aquí:\n{{ link }}",
            "{{ clinic }}: le esperábamos el {{ when }}. Reserve otra cita: {{ link }}",
        ),
        "waitlist_offer": Text(
            "Hay una hora libre en {{ clinic }}: {{ when }}",
            "Hola, {{ name }}:\nhay una hora libre en {{ clinic }}: {{ when }}.\nEs para quien la reserve primero:\n{{ link }}",
            "{{ clinic }}: hay una hora libre, {{ when }}. Es para quien la reserve primero: {{ link }}"
            " Responda STOP para no recibir más.",
        ),
    },
}
FOOTERS = {
    "en": "You get this because of your visit at {{ clinic }}. No more reminders by email:",
    "es": "Recibe este mensaje por su cita en {{ clinic }}. No recibir más recordatorios por correo:",
}
_LOCALES = {"en": "en_US", "es": "es_US"}
_WHEN = {"en": "EEEE, MMMM d, y 'at' h:mm a z", "es": "EEEE d 'de' MMMM 'de' y, h:mm a z"}
# Plain text is not HTML: nothing is escaped in it, and the HTML part escapes all of it once.
PLAIN = Engine(autoescape=False)
_FRAME = Engine(dirs=[str(Path(__file__).parent / "templates")])


class Email(NamedTuple):
    """`text` and `html` say the same."""

    subject: str
    text: str
    html: str


def email(kind: str, language: str, facts: Facts, *, unsubscribe: str = "") -> Email:
    """An e-mail of `kind`; `unsubscribe` is the address that ends reminders, where one belongs under it."""
    text = CATALOGUE[language][kind]
    said = _render(text.body, facts).split("\n")
    paragraphs = [line.strip() for line in said if line.strip()]
    footer = _render(FOOTERS[language], facts) if unsubscribe else ""
    plain = "\n\n".join([*paragraphs, *([f"-- \n{footer}\n{unsubscribe}"] if unsubscribe else [])])
    shown = {"language": language, "paragraphs": paragraphs, "link": facts.link, "footer": footer, "unsubscribe": unsubscribe}
    return Email(one_line(_render(text.subject, facts)), plain + "\n", _FRAME.render_to_string("message.html", shown))


def sms(kind: str, language: str, facts: Facts) -> str:
    """An SMS of `kind`: one line."""
    return one_line(_render(CATALOGUE[language][kind].sms, facts))


def when(instant: int, zone: str, language: str) -> str:
    """ "Thursday, November 26, 2026 at 9:00 AM EST", in the words of `language`."""
    local = datetime.fromtimestamp(instant, ZoneInfo(zone))
    return format_datetime(local, _WHEN[language], tzinfo=local.tzinfo, locale=_LOCALES[language]).replace("\u202f", " ")


def language_of(wanted: str) -> str:
    """The language we write to somebody who wants `wanted` ("es-MX"), English where we do not speak theirs."""
    return next((language for language in LANGUAGES if wanted.lower().startswith(language)), LANGUAGES[0])


def one_line(text: str) -> str:
    """`text` without line breaks and other control characters: in a header they would begin another one."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _render(text: str, facts: Facts) -> str:
    # A line break in a fact would make paragraphs of its own.
    return _template(text).render(Context({name: one_line(value) for name, value in asdict(facts).items()}, autoescape=False))


@cache
def _template(text: str) -> Template:
    return PLAIN.from_string(text)
