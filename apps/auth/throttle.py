"""How fast something may be guessed. A failure makes the next try wait, ever longer, and nobody else with it.

Each try is counted before it is looked at, in one statement, so that a hundred at once are not one; a success gives it back.
What is counted, for one person's password or code, is who tries: a browser in which that person has signed in before has a count
of its own. So somebody who guesses from elsewhere, however often, never makes the person wait where they always sign in.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil

from django.conf import settings
from django.db import connection

from apps.kernel.problems import RateLimited


@dataclass(frozen=True, slots=True)
class Policy:
    """`free` tries in a row cost nothing; each further one doubles the wait, from 1 s to `most_s`. Forgotten after `forget_s`."""

    name: str
    free: int
    most_s: int
    forget_s: int


DAY_S = 24 * 3600
PASSWORD = Policy("password", free=5, most_s=900, forget_s=DAY_S)
"""Of one account, from one network."""
CODE = Policy("code", free=5, most_s=900, forget_s=DAY_S)
"""Of one account, from anywhere: who gets here knows the password. About 100 tries a day, of 333,000 that find a code."""
KNOWN = Policy("known", free=10, most_s=60, forget_s=DAY_S)
"""Of one account, in one browser in which it has signed in before."""
NETWORK = Policy("network", free=30, most_s=60, forget_s=3600)
"""Of all accounts, from one network: a clinic is one, so that the wait stays short."""
LETTER = Policy("letter", free=3, most_s=3600, forget_s=DAY_S)
"""Mails to one address that anybody can ask for."""

# The try is counted and the next one put off in one statement; where the wait is not over, nothing happens and no row comes back.
_COUNT = """
INSERT INTO accounts_attempts AS kept (key, count, at, blocked_until)
VALUES (%(key)s, 1, clock_timestamp(), clock_timestamp())
ON CONFLICT (key) DO UPDATE SET
    count = {count},
    at = clock_timestamp(),
    blocked_until = clock_timestamp() + make_interval(secs => CASE WHEN {count} <= %(free)s THEN 0
        ELSE least(%(most)s, power(2, least({count} - %(free)s - 1, 30))) END)
WHERE kept.blocked_until <= clock_timestamp()
RETURNING count
""".format(count="(CASE WHEN kept.at < clock_timestamp() - make_interval(secs => %(forget)s) THEN 1 ELSE kept.count + 1 END)")
_WAIT = "SELECT extract(epoch FROM blocked_until - clock_timestamp()) FROM accounts_attempts WHERE key = %s"
_GIVE_BACK = """
UPDATE accounts_attempts SET count = greatest(count - 1, 0), blocked_until = least(blocked_until, clock_timestamp())
WHERE key = ANY(%s)
"""


@dataclass(frozen=True, slots=True)
class Bucket:
    """Whose tries are counted under which policy."""

    policy: Policy
    who: str

    @property
    def key(self) -> bytes:
        return hashlib.sha256(f"{self.policy.name}\0{self.who}".encode()).digest()


def count(buckets: Iterable[Bucket]) -> None:
    """Counts one try in each. Raises RateLimited, with the seconds to wait, when it comes too early for one of them.

    Must not run in the transaction of the try: what rolls that back must not give the try back.
    """
    if not settings.ENV.rate_limits:
        return
    for bucket in buckets:
        policy = bucket.policy
        with connection.cursor() as cursor:
            limits = {"free": policy.free, "most": policy.most_s, "forget": policy.forget_s}
            cursor.execute(_COUNT, {"key": bucket.key, **limits})
            if cursor.fetchone() is None:
                cursor.execute(_WAIT, [bucket.key])
                raise RateLimited(retry_after=max(1, ceil((cursor.fetchone() or [1])[0])))


def succeeded(buckets: Iterable[Bucket]) -> None:
    """Takes back what `count` counted. For a policy of one account the whole row of failures is forgotten."""
    given = list(buckets)
    with connection.cursor() as cursor:
        cursor.execute(_GIVE_BACK, [[bucket.key for bucket in given if bucket.policy is NETWORK]])
        cursor.execute(
            "DELETE FROM accounts_attempts WHERE key = ANY(%s)", [[bucket.key for bucket in given if bucket.policy is not NETWORK]]
        )


def forget() -> None:
    """Deletes counts that no policy remembers any more."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM accounts_attempts WHERE at < now() - make_interval(secs => %s)", [DAY_S])
