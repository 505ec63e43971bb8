"""The HTTP API of records, /api/records/v1."""

from apps.kernel import auditor
from apps.kernel.api import Api

api = Api(
    title="HealthFlow patient records",
    description="Errors are problem details (RFC 9457) with a stable `code`.",
    namespace="records",
)
auditor.routes(api)
