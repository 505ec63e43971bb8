"""`audit_verify`: walks the audit log's chain; exit status 1 when something was changed, removed, inserted or cut off."""

import json
import sys
import time
from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.kernel import chain, keeping


class Command(BaseCommand):
    help = "Walks the tamper-evident audit log; exit status 1 on a break"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--head", metavar="POSITION:HASH", help="a head of the chain that was kept elsewhere")
        parser.add_argument("--export", metavar="FOLDER", type=Path, help="exported days, whose manifests say what the chain was")
        parser.add_argument("--json", action="store_true", help="the verdict as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        known = keeping.heads(options["export"]) if options["export"] else {}
        if options["head"]:
            position, _, hash_ = options["head"].partition(":")
            if not position.isdigit() or len(hash_) != 64:
                raise CommandError("--head is a position, a colon, and a hash of 64 hexadecimal digits.")
            known[int(position)] = hash_
        began = time.monotonic()
        verdict = chain.verify(known)
        seconds = round(time.monotonic() - began, 3)
        told = {**asdict(verdict), "ok": verdict.ok, "seconds": seconds}
        self.stdout.write(json.dumps(told) if options["json"] else _as_text(verdict, seconds))
        if not verdict.ok:
            sys.exit(1)


def _as_text(verdict: chain.Verdict, seconds: float) -> str:
    lines = [f"{found.kind:<10} position {found.position or '-'}, entry {found.entry or '-'}" for found in verdict.findings]
    said = "The chain holds" if verdict.ok else "THE CHAIN IS BROKEN; the first place is named first"
    return "\n".join([*lines, f"{said}: {verdict.entries} entries, head {verdict.entries}:{verdict.head}, {seconds} s"])
