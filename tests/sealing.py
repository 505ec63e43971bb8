"""What records does, and the engine cannot: opening an envelope with the private key."""

import json
from pathlib import Path
from typing import Any

from joserfc import jwe
from joserfc.jwk import ECKey


def opened(envelope: str, *, key_file: str) -> dict[str, Any]:
    """What was sealed. Raises joserfc's errors for what was changed, or sealed to another key."""
    key = ECKey.import_key(json.loads(Path(key_file).read_text())["keys"][0])
    details: dict[str, Any] = json.loads(jwe.decrypt_compact(envelope, key).plaintext or b"")
    return details
