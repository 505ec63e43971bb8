"""Standbys of this machine's PostgreSQL: copies that stream from it, each with its own data folder and port."""

# ruff: noqa: S603 - the commands are ours; nothing in them comes from outside

import shutil
import subprocess
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2

from apps.local.environment import SetupError

ROLE = "replica"
"""The role by which standbys follow, which can do nothing else."""
_SYSTEM = "Database system identifier"
_REPLAYED, _TIMELINE = "Minimum recovery ending location", "Min recovery ending loc's timeline"
_SEGMENT_BITS = 24


def source(primary: str, *, name: str, password_file: Path) -> str:
    """How a standby reaches the primary at this address, and what it is called there. The password stays in its file."""
    at = urlsplit(primary)
    return f"host={at.hostname} port={at.port} user={ROLE} passfile={password_file} application_name={name}"


def follow(standby: Path, *, primary: Path, source: str, binaries: Path, run_as: tuple[str, ...]) -> None:
    """Makes `standby` the data folder of a standby of the running server in `primary`. `run_as` are options of setpriv.

    One that is there goes on where it stopped, unless the primary has not kept what it missed; then it is made anew. Raises
    SetupError.
    """
    if (standby / "standby.signal").is_file() and _can_go_on(standby, primary=primary, binaries=binaries):
        return
    new = standby.with_name(f"{standby.name}.new")
    for old in (new, standby):
        shutil.rmtree(old, ignore_errors=True)
    new.mkdir(mode=0o700)
    if run_as:
        shutil.chown(new, "nobody")
    options = ("--wal-method=stream", "--checkpoint=fast", "--no-password")
    made = subprocess.run(
        (*(("setpriv", *run_as, "--") if run_as else ()), binaries / "pg_basebackup", "-D", new, "-d", source, *options),
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        raise SetupError(f"The replica could not be copied from its primary:\n{made.stdout}{made.stderr}")
    (new / "standby.signal").touch()
    new.rename(standby)


def lag_bytes(standby: str, *, primary: str) -> int | None:
    """How much of what the primary has written a standby has yet to replay; None when one of the two does not say."""
    try:
        replayed, written = _position(standby, "pg_last_wal_replay_lsn()"), _position(primary, "pg_current_wal_flush_lsn()")
    except psycopg2.Error:
        return None
    return None if replayed is None or written is None else max(0, written - replayed)


def _position(address: str, function: str) -> int | None:
    with closing(psycopg2.connect(address, connect_timeout=2)) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT ({function} - '0/0')::bigint")
        row = cursor.fetchone()
    return row[0] if row else None


def _can_go_on(standby: Path, *, primary: Path, binaries: Path) -> bool:
    mine, its = (_control(folder, binaries=binaries) for folder in (standby, primary))
    if not mine or mine[_SYSTEM] != its.get(_SYSTEM):
        return False
    high, low = (int(part, 16) for part in mine[_REPLAYED].split("/"))
    segment = f"{int(mine[_TIMELINE]):08X}{high:08X}{low >> _SEGMENT_BITS:08X}"
    return (primary / "pg_wal" / segment).is_file()


def _control(folder: Path, *, binaries: Path) -> dict[str, str]:
    """What the control file of a data folder says; nothing when it cannot be read."""
    told = subprocess.run((binaries / "pg_controldata", folder), capture_output=True, text=True, check=False)
    lines = (line.partition(":") for line in told.stdout.splitlines()) if told.returncode == 0 else ()
    return {name: value.strip() for name, _, value in lines}
