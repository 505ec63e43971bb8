"""./manage.py auth session --email E [--clinic C] [--json]: an open session, for operators and tests; prints its two cookies."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from apps.auth import sessions
from apps.auth.models import Membership
from apps.auth.sessions import Visitor
from apps.auth.ui.page import SIGN_IN_COOKIE
from apps.auth.words import normal_email
from apps.kernel import audit
from apps.kernel.tokens import SESSION_COOKIE


class Command(BaseCommand):
    help = "Opens a session as if the person had shown both factors, and prints the cookies that carry it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--email", required=True)
        parser.add_argument("--clinic", help="the clinic's slug; default: the person's first")
        parser.add_argument("--json", action="store_true")

    def handle(self, *_: Any, **options: Any) -> None:
        found = Membership.objects.select_related("person").filter(person__email=normal_email(options["email"]))
        found = found.filter(person__is_active=True, **({"clinic": options["clinic"]} if options["clinic"] else {}))
        membership = found.order_by("created_at", "id").first()
        if membership is None:
            raise CommandError("Nobody of that address works there.")
        cookies = _open(membership)
        self.stdout.write(
            json.dumps(cookies) if options["json"] else "; ".join(f"{name}={value}" for name, value in cookies.items())
        )


def _open(membership: Membership) -> dict[str, str]:
    with transaction.atomic():
        begun = sessions.find(sessions.begin(membership.person, membership, Visitor("", "manage.py auth session")))
        assert begun is not None
        secret = sessions.second_factor_shown(begun)
        audit.record(None, sessions.claims(begun), "session.open", details={"factor": "operator"})
    session = sessions.find(secret)
    access = sessions.renew(session, active=True) if session else None
    assert access is not None
    return {SIGN_IN_COOKIE: secret, SESSION_COOKIE: access.token}
