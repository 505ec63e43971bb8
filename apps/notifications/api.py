"""The HTTP API of notifications, /api/notifications/v1."""

from apps.kernel import auditor
from apps.kernel.api import Api

api = Api(
    title="HealthFlow notifications",
    description="Errors are problem details (RFC 9457) with a stable `code`.",
    namespace="notifications",
)
auditor.routes(api)
