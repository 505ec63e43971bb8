"""Nothing that people or clocks ask of the database costs more because it holds years of data.

A database of its own gets a platform's years. Then every page, every read of the API, every write of the core, every task and
every look of the relay runs there, and each statement's real plan is judged: no big table is read from end to end, and no
statement touches more rows of one than an answer has.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from django.conf import settings
from django.db import connection, transaction
from django.test import Client
from django.urls import URLPattern, get_resolver
from pytest_django import DjangoDbBlocker

from apps.kernel.events import Event
from apps.kernel.models import Reader
from apps.kernel.redis import connect
from apps.kernel.tokens import SESSION_COOKIE
from engine import feed, models, relay, tasks
from engine.callers import manage_url
from engine.handlers import HANDLERS
from loadtests.years import Years, fill
from tests.integration.engine.door import BASE
from tests.plans import Look, Plans, big_tables, explained_database, plans
from tests.practice import make_practice
from tests.writes import WRITES

YEARS = Years(clinics=2_000, practitioners=2, busy=2_000, usual=12)
BIG = 2_000
"""From how many rows on a table must not be read as a whole."""
MOST_ROWS = 1_000
"""What a statement may touch of a big table: more than any answer here has, and fewer than any big table."""
OF_A_CLINIC = YEARS.practitioners * YEARS.busy
"""Who lists appointments by their status alone has all of their own clinic looked through, and no other's."""
CLINIC = "years-1"


@pytest.fixture(scope="module")
def years(django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    with django_db_blocker.unblock(), explained_database("years", partial(fill, YEARS)):
        yield


@pytest.fixture
def seen(years: None) -> Iterator[Plans]:
    with plans() as found:
        yield found


@pytest.fixture
def staff(token: Callable[..., str]) -> Client:
    """Somebody of a clinic that is years old, who may see everything; pages want the cookie, the API takes it too."""
    client = Client(headers={"accept": "text/html"})
    client.cookies[SESSION_COOKIE] = token(CLINIC, role="clinic_admin")
    return client


def too_much(found: Plans, *, most: int = MOST_ROWS) -> list[Look]:
    """The looks that grow with what is stored."""
    looks, big = list(found.looks), big_tables(BIG)
    return [look for look in looks if look.table in big and (look.kind.endswith("Seq Scan") or look.rows > most)]


def _told(found: Plans) -> str:
    return "\n".join(dict.fromkeys(map(str, too_much(found))))


# --- what is read -------------------------------------------------------------------------------------------------------


def addresses() -> set[str]:
    """Every address that can be read, as the service itself lists them."""
    pages = [p for p in get_resolver("engine.ui.urls").url_patterns if isinstance(p, URLPattern)]
    return {f"/{page.pattern}" for page in pages} | {path for path, methods in _document().items() if "get" in methods}


def _document() -> dict[str, Any]:
    found: dict[str, Any] = Client().get(f"{BASE}/openapi.json").json()["paths"]
    return found


def reads() -> dict[str, list[str]]:
    """Address as it is listed → as it is asked, in each of its ways."""
    clinic = models.Clinic.objects.get(slug=CLINIC)
    doctor, _, room = models.Calendar.objects.filter(clinic=clinic).order_by("kind", "id")
    visit_type = models.VisitType.objects.get(clinic=clinic).uid
    visit = models.Appointment.objects.filter(calendar=doctor, status="booked").order_by("starts")[0]
    manage = manage_url(visit.id).rstrip("/").rpartition("/")[2]
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    week, past = (_range(today + timedelta(days=day)) for day in (0, -200))
    listed = [
        f"/appointments?limit=20&{asked}"
        for asked in ("", "status=booked", "patient=patient-0-1", week, past, "from=" + _text(today))
    ]
    listed += [f"{one}&calendar={calendar.uid}" for one in listed for calendar in (doctor, room)]
    api = {
        "/clinics/{clinic}": [f"/clinics/{CLINIC}"],
        "/clinics/{clinic}/slots": [
            f"/clinics/{CLINIC}/slots?visit_type={visit_type}{more}" for more in ("", f"&calendar={doctor.uid}")
        ],
        "/slots/first": [f"/slots/first?visit_type={visit_type}"],
        "/sealing-keys": ["/sealing-keys"],
        "/manage/{token}": [f"/manage/{manage}"],
        "/manage/{token}/calendar.ics": [f"/manage/{manage}/calendar.ics"],
        "/appointments": [*listed, f"/appointments?limit=20&cursor={visit.id}"],
        "/appointments/{appointment_id}": [f"/appointments/{visit.id}?expand=history"],
        "/calendars/{calendar}/snapshot": [f"/calendars/{c.uid}/snapshot?{r}" for c in (doctor, room) for r in (week, past)],
        "/calendars/{calendar}/changes": [f"/calendars/{doctor.uid}/changes?since={since}" for since in (0, 1_990)],
        "/calendars/{calendar}/hours": [f"/calendars/{doctor.uid}/hours"],
        "/calendars/{calendar}/exceptions": [f"/calendars/{doctor.uid}/exceptions"],
        "/clinics/{clinic}/snapshot": [f"/clinics/{CLINIC}/snapshot?{r}" for r in (week, past)],
        "/clinics/{clinic}/statistics": [f"/clinics/{CLINIC}/statistics?from={_day(today, -20)}&to={_day(today, 5)}"],
        "/clinics/{clinic}/settings": [f"/clinics/{CLINIC}/settings"],
        "/clinics/{clinic}/locations": [f"/clinics/{CLINIC}/locations"],
        "/clinics/{clinic}/calendars": [f"/clinics/{CLINIC}/calendars"],
        "/clinics/{clinic}/visit-types": [f"/clinics/{CLINIC}/visit-types"],
        "/holidays": ["/holidays?region=US&year=2026"],
        "/audit": [f"/audit?limit=20&{asked}" for asked in ("", "actor=seed", f"patient=patient-{clinic.id}-1", "cursor=1000")],
    }
    pages = {
        "/book/<slug:clinic>/": [f"/book/{CLINIC}/"],
        "/widget/v1/<slug:clinic>/": [f"/widget/v1/{CLINIC}/"],
        "/manage/<str:token>/": [f"/manage/{manage}/"],
    }
    plain = ("/", "/calendar/", "/desk/", "/settings/", "/audit/", "/widget/v1/embed.js", "/api/docs/", "/api/docs/events/")
    return {BASE + path: [BASE + one for one in asked] for path, asked in api.items()} | pages | {path: [path] for path in plain}


def _range(day: datetime) -> str:
    return f"from={_text(day)}&to={_text(day + timedelta(days=7))}"


def _text(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


def _day(today: datetime, ahead: int) -> str:
    return (today + timedelta(days=ahead)).strftime("%Y-%m-%d")


def test_every_page_and_every_read_is_answered_from_an_index(seen: Plans, staff: Client, token: Callable[..., str]) -> None:
    known = reads()
    seen.looks.clear()

    assert set(known) == addresses()
    auditor = Client(headers={"accept": "text/html", "authorization": f"Bearer {token(CLINIC, role='auditor')}"})
    auditor.cookies[SESSION_COOKIE] = token(CLINIC, role="auditor")
    tables = set[str]()
    for path, asked in known.items():
        for one in asked:
            answer = (auditor if "/audit" in path else staff).get(one)
            assert answer.status_code == 200, (one, answer.content[:300])
        most = OF_A_CLINIC if path == f"{BASE}/appointments" else MOST_ROWS
        assert not too_much(seen, most=most), _told(seen)
        tables |= {look.table for look in seen.looks}
        seen.looks.clear()
    assert {"engine_appointment", "engine_allocation", "engine_outboxevent", "kernel_auditentry"} <= tables


def test_a_read_without_its_index_is_found(seen: Plans, staff: Client) -> None:
    asked = [one for path, some in reads().items() if path.endswith("/statistics") for one in some]
    seen.looks.clear()

    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("DROP INDEX appointment_calendar")
        for one in asked:
            staff.get(one)
        transaction.set_rollback(True)

    assert {look.table for look in too_much(seen)} == {"engine_appointment"}


# --- what is written, and what runs on a clock ----------------------------------------------------------------------------


def test_every_write_is_done_by_indexes(years: None, seen: Plans) -> None:
    for number, write in enumerate(WRITES):
        # Each has a clinic to itself, always of the same name.
        models.Clinic.objects.filter(slug="harbor").update(slug=f"harbor-{number}")
        act = write.prepare(make_practice("harbor"))
        act()

    assert not too_much(seen), _told(seen)
    assert {"engine_appointment", "engine_allocation", "engine_calendar"} <= {look.table for look in seen.looks}


def test_every_task_and_every_handler_finds_its_work_by_an_index(years: None, seen: Plans) -> None:
    for reader in settings.FEED_READERS:
        Reader.objects.update_or_create(name=reader, defaults={"position": "9:0:0", "at": datetime.now(UTC)})
    visit = models.Appointment.objects.filter(clinic__slug=CLINIC).order_by("-id")[0]
    data = {"patient": "p1", "appointment": str(visit.id), "into": "p2", "from": visit.patient_id}
    seen.looks.clear()

    for (producer, type_), handle in HANDLERS.items():
        handle(Event(visit.id, f"/{producer}", type_, str(visit.id), CLINIC, datetime.now(UTC), data))
    for entry in tasks.app.conf.beat_schedule.values():
        tasks.app.tasks[entry["task"]]()

    # A BRIN index says in which hundred and twenty-eight pages to look.
    assert not too_much(seen, most=5_000), _told(seen)
    assert "engine_patientlink" in {look.table for look in seen.looks}


def test_the_relay_and_the_feed_find_what_is_new_by_an_index(years: None, seen: Plans) -> None:
    redis = connect(settings.ENV.redis_url.get_secret_value().removesuffix("/0") + "/7", timeout_s=5)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE engine_outboxevent SET sent_at = NULL WHERE version > 1990 AND calendar_id IN"
            " (SELECT c.id FROM engine_calendar c JOIN engine_clinic k ON k.id = c.clinic_id WHERE k.slug = %s)",
            [CLINIC],
        )
    seen.looks.clear()

    relay.refresh_heads(redis)
    relay.measure()
    while relay.relay(redis):
        pass
    for reader in settings.FEED_READERS:
        assert feed.read("9:0:0", 20, reader)
    redis.flushdb()

    # The heads of all calendars are read in pages of 5,000, and that takes a hundredth of the relay's time.
    assert not too_much(seen, most=5_000), _told(seen)
