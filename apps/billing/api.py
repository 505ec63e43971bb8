"""The HTTP API of billing, /api/billing/v1."""

from apps.kernel import auditor
from apps.kernel.api import Api

api = Api(
    title="HealthFlow billing", description="Errors are problem details (RFC 9457) with a stable `code`.", namespace="billing"
)
auditor.routes(api)
