#!/usr/bin/env python3
"""HealthFlow's one entry point: makes its own environment from requirements.lock, then runs the command in it."""

import fcntl
import hashlib
import json
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

# ruff: noqa: S603, S606 - starting our own commands is what this file is for
ROOT = Path(__file__).resolve().parent
VENV = Path(os.environ.get("HEALTHFLOW_VENV") or ROOT / ".venv").absolute()
LOCK, STAMP, PYTHON = ROOT / "requirements.lock", VENV / "healthflow.stamp", str(VENV / "bin" / "python")
SERVICES = {name: f"apps.{name}.settings" for name in ("auth", "records", "billing", "notifications", "strangler")}
PROJECTS = {"engine": "engine.settings", "realtime": "realtime.settings", **SERVICES}
USAGE = """usage: ./manage.py <command>
  up      start everything on this machine; Ctrl-C stops it   [--port 8000] [--data .data] [--no-demo] [--no-limits] [--detach]
  status  what runs, where, and whether it is well            [--data .data] [--json]
  down    stop what `up` started                              [--data .data]
  test    run the test suite                                  [arguments for pytest]
  <project> <django command>      the projects are: engine auth records billing notifications strangler realtime
HEALTHFLOW_DATA names another data folder than .data, HEALTHFLOW_VENV another environment than .venv."""


def wanted() -> str:
    return "{} {}.{}\n".format(hashlib.sha256(LOCK.read_bytes()).hexdigest(), *sys.version_info)


def make_environment() -> None:
    """Brings VENV to what requirements.lock says, one process at a time; exits with a message when it cannot."""
    certificates = os.environ.get("SSL_CERT_FILE")  # uv reads this name, pip another
    environ = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", **({"PIP_CERT": certificates} if certificates else {}), **os.environ}
    base, uv = getattr(sys, "_base_executable", sys.executable), re.search(r"^uv==(?:.*\\\n)*.*\n", LOCK.read_text(), re.M)
    keep = [] if (VENV / "lib" / "python{}.{}".format(*sys.version_info)).is_dir() else ["--clear"]
    with LOCK.open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if STAMP.is_file() and STAMP.read_text() == wanted():
            return
        print(f"Installing requirements.lock into {VENV}: once, about a minute ...", file=sys.stderr, flush=True)
        STAMP.unlink(missing_ok=True)
        try:
            # Without pip: Debian's Python cannot put it there (no ensurepip), and uv does the rest.
            subprocess.run([base, "-m", "venv", "--without-pip", *keep, str(VENV)], check=True)
            (VENV / "uv.txt").write_text(uv.group() if uv else "uv\n")
            pip = [base, "-m", "pip", "--python", PYTHON, "install", "--quiet", "--require-hashes", "-r", str(VENV / "uv.txt")]
            subprocess.run(pip, check=True, env=environ)
            options = ("--quiet", "--compile-bytecode", "--require-hashes", "--python", PYTHON)
            subprocess.run([str(VENV / "bin" / "uv"), "pip", "sync", *options, str(LOCK)], check=True, env=environ)
        except (subprocess.CalledProcessError, OSError) as error:
            sys.exit(f"The environment could not be made: {error}\nMend what is said above, then run this again.")
        STAMP.write_text(wanted())


def main() -> None:
    if sys.version_info < (3, 11):  # noqa: UP036 - this file is what says so
        sys.exit("HealthFlow needs Python 3.11 or newer; this is " + sys.version.split()[0])
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    if command not in {"up", "down", "status", "test", *PROJECTS}:
        print(USAGE, file=sys.stdout if command in {"-h", "--help"} else sys.stderr)
        sys.exit(0 if command in {"-h", "--help"} else 2)
    if not (STAMP.is_file() and STAMP.read_text() == wanted()):
        make_environment()
    if Path(sys.prefix).resolve() != VENV.resolve():
        os.execv(PYTHON, [PYTHON, __file__, *sys.argv[1:]])
    if command not in PROJECTS:
        sys.exit(import_module("apps.local.commands").main(sys.argv[1:]))
    (ROOT / PROJECTS[command].replace(".", "/")).with_suffix(".py").is_file() or sys.exit(f"There is no {command} here (yet).")
    known = Path(os.environ.get("HEALTHFLOW_DATA") or ROOT / ".data") / "environment.json"
    told = json.loads(known.read_text()) if known.is_file() else {}
    inherited = import_module("apps.local.environment").own(told, project=command)
    os.environ.update({**inherited, **os.environ, "DJANGO_SETTINGS_MODULE": PROJECTS[command]})
    import_module("django.core.management").execute_from_command_line([f"manage.py {command}", *sys.argv[2:]])


if __name__ == "__main__":
    main()
