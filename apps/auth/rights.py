"""Rights that end before their tokens do. The database is the truth; the list in Redis that every process copies follows it.

An entry is written in the transaction that ends the right and told to Redis after the commit. If Redis does not answer, or has
lost its memory since, the tick sees that entries are missing there and tells all of them again.
"""

import time
from functools import cache, partial

from django.conf import settings
from django.db import connection, transaction
from redis import Redis, RedisError

from apps.auth.models import Revocation
from apps.kernel import revocations
from apps.kernel.redis import connect
from apps.kernel.tokens import LONGEST_S

_TIMEOUT_S = 0.5
_LATEST_S = 600
"""An entry that Redis has may be told once more with a later time; after this the tokens in between have ended by themselves."""
# Of one entry told twice the later time counts. Sorted, so that two transactions lock rows in one order.
_INSERT = """
INSERT INTO accounts_revocation AS kept (entry, until)
SELECT entry, %s FROM unnest(%s::text[]) AS entry ORDER BY entry
ON CONFLICT (entry) DO UPDATE SET until = greatest(kept.until, excluded.until)
"""


def end(*entries: str) -> int:
    """Voids what entries of `apps.kernel.revocations` say; until which second tokens are void. Needs a transaction.

    Call it after the lock under which such tokens are signed: a token signed in between would be good for its five minutes.
    """
    now = int(time.time())
    if entries:
        with connection.cursor() as cursor:
            cursor.execute(_INSERT, [now, list(entries)])
        transaction.on_commit(partial(_tell, dict.fromkeys(entries, now)))
    return now


def tell_again() -> int:
    """The tick: how many entries had to be told again: all when Redis has fewer, and of the latest those it knows less of."""
    now = int(time.time())
    kept = Revocation.objects.filter(until__gte=now - LONGEST_S)
    latest = dict(kept.filter(until__gte=now - _LATEST_S).values_list("entry", "until"))
    try:
        there = _redis().zcount(revocations.REVOKED, now - LONGEST_S, "+inf")
        known = _redis().zmscore(revocations.REVOKED, list(latest)) if latest else []
    except RedisError:
        return 0
    if int(there) < kept.count():
        entries = dict(kept.values_list("entry", "until"))
    else:
        scores = zip(latest.items(), known, strict=True)
        entries = {entry: until for (entry, until), score in scores if score is None or score < until}
    if entries:
        _tell(entries)
    return len(entries)


def forget() -> None:
    """Deletes entries that no token can remember."""
    Revocation.objects.filter(until__lt=int(time.time()) - revocations.KEPT_S).delete()


def _tell(entries: dict[str, int]) -> None:
    try:
        revocations.publish(_redis(), entries)
    except RedisError:
        return  # the tick does it


@cache
def _redis() -> "Redis":
    return connect(settings.ENV.redis_url.get_secret_value(), timeout_s=_TIMEOUT_S)
