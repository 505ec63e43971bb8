"""The HTTP API of auth, /api/auth/v1."""

from apps.kernel import auditor
from apps.kernel.api import Api

api = Api(
    title="HealthFlow sign-in and members",
    description="Errors are problem details (RFC 9457) with a stable `code`.",
    namespace="auth",
)
auditor.routes(api)
