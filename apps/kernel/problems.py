"""Errors as they leave a service: RFC 9457 problem details with a stable code."""

import json
from typing import Any, ClassVar

from django.http import HttpResponse

PROBLEM_JSON = "application/problem+json"
TYPE_BASE = "https://healthflow.example/problems/"


class Problem(Exception):
    """An answer that is not a success. A subclass is one code; its docstring tells the caller what to do.

    `detail` must never hold patient data: it is shown and logged.
    """

    code: ClassVar[str]
    status: ClassVar[int]
    title: ClassVar[str]
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str = "", *, param: str | None = None, retry_after: int | None = None) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.param = param
        self.retry_after = retry_after
        self.beside: dict[str, Any] = {}
        """Members that the door adds for who asked."""

    def fields(self) -> dict[str, Any]:
        """Code-specific members of the answer."""
        return {}

    def headers(self) -> dict[str, str]:
        """Code-specific header fields of the answer."""
        return {}

    def body(self) -> dict[str, Any]:
        members = {"param": self.param, "retry_after": self.retry_after, **self.fields(), **self.beside}
        return {
            "type": TYPE_BASE + self.code.replace("_", "-"),
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "retryable": self.retryable,
        } | {name: value for name, value in members.items() if value is not None}

    def response(self) -> HttpResponse:
        response = HttpResponse(json.dumps(self.body()), status=self.status, content_type=PROBLEM_JSON)
        if self.retry_after is not None:
            response["Retry-After"] = str(self.retry_after)
        for name, value in self.headers().items():
            response[name] = value
        return response


class ValidationFailed(Problem):
    """Something in the request is not as the contract says; `param` is its path. Mend it before asking again."""

    code, status, title = "validation_failed", 422, "The request is not valid"


class Unauthenticated(Problem):
    """No token or session, or one that is not (or no longer) good. Sign in and ask again."""

    code, status, title = "unauthenticated", 401, "Sign in first"

    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": "Bearer"}


class SecondFactorRequired(Problem):
    """Signed in with one factor where staff need two. Complete the second factor and ask again."""

    code, status, title = "second_factor_required", 401, "A second factor is needed"

    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": "Bearer"}


class Forbidden(Problem):
    """Signed in, but the role does not allow it."""

    code, status, title = "forbidden", 403, "Your role does not allow this"


class NotFound(Problem):
    """Nothing here by that name; also the answer for another clinic's things."""

    code, status, title = "not_found", 404, "Not found"


class MethodNotAllowed(Problem):
    """The address exists, the method does not."""

    code, status, title = "method_not_allowed", 405, "This address does not take this method"


class IdempotencyMismatch(Problem):
    """The Idempotency-Key was used before with another request. Take a new key."""

    code, status, title = "idempotency_mismatch", 422, "This Idempotency-Key belongs to another request"


class IdempotencyInProgress(Problem):
    """The first request with this Idempotency-Key still runs. Repeat in a moment, with the same key."""

    code, status, title = "idempotency_in_progress", 409, "The same request is still running"
    retryable = True


class VersionGone(Problem):
    """The changes since that version are no longer, or not yet, known. Take a fresh snapshot."""

    code, status, title = "version_gone", 410, "These changes are no longer kept"


class VersionConflict(Problem):
    """Somebody else changed it since you read it. Read it again, then decide."""

    code, status, title = "version_conflict", 409, "It has changed since you read it"


class PayloadTooLarge(Problem):
    """The body is over the limit (64 KiB)."""

    code, status, title = "payload_too_large", 413, "The request body is too large"


class RateLimited(Problem):
    """Too many requests from here. Wait for `retry_after` seconds."""

    code, status, title = "rate_limited", 429, "Too many requests"
    retryable = True
    policy: tuple[str, int, int] | None = None
    """Name, requests, seconds of the limit: told as draft-ietf-httpapi-ratelimit-headers says."""

    def headers(self) -> dict[str, str]:
        if self.policy is None:
            return {}
        name, requests, seconds = self.policy
        return {"RateLimit-Policy": f'"{name}";q={requests};w={seconds}', "RateLimit": f'"{name}";r=0;t={self.retry_after}'}


class Unavailable(Problem):
    """The service cannot answer now; for a write the outcome may be unknown. Repeat with the same Idempotency-Key."""

    code, status, title = "unavailable", 503, "Not available at the moment"
    retryable = True


class Internal(Problem):
    """A fault of ours; it is logged under the request id. Repeat with the same Idempotency-Key, or report it."""

    code, status, title = "internal_error", 500, "Something went wrong on our side"
    retryable = True
