"""Settings of the records service."""

from pathlib import Path

from pydantic import SecretStr

from apps.kernel.environment import ServiceEnvironment, read
from apps.kernel.settings import common


class RecordsEnvironment(ServiceEnvironment):
    """What only records reads."""

    database_url_records: SecretStr
    service_key_file_records: Path
    sealing_key_file: Path
    """Private keys (JWK set) of the envelopes that patients' details come in."""
    kms_url: SecretStr
    """Where the clinics' keys are wrapped: `file:///…`, `awskms://…` or `openbao://…`; see `kms.py`."""
    kms_token: SecretStr = SecretStr("")
    """OpenBao's token; "" when its agent adds it on the way."""


ENV = read(RecordsEnvironment)

globals().update(common(ENV, name="records", url=ENV.database_url_records, apps=("apps.records.apps.RecordsConfig",)))
DATA_UPLOAD_MAX_MEMORY_SIZE = 7 * 1024 * 1024
"""A document of 5 MiB in base64."""
LONG_BODIES = "/documents"
"""Where that is allowed; all other addresses take 64 KiB."""
HANDLERS = "apps.records.handlers"
FEED_READERS = ("engine", "billing", "notifications")
"""The services that take over the facts of this one."""
