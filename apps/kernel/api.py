"""The HTTP door of a service: a NinjaAPI whose errors are problem details, and whose document says so."""

import json
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import HttpError
from ninja.errors import ValidationError as NinjaValidationError
from ninja.openapi.schema import OpenAPISchema

from apps.kernel.http import as_response
from apps.kernel.problems import PROBLEM_JSON, Problem, ValidationFailed
from apps.kernel.tokens import SESSION_COOKIE

PROBLEMS = frozenset({401, 403, 404, 409, 410, 413, 422, 429, 500, 503})
"""The statuses of problem details, for the documents."""

_KEY = {"name": "Idempotency-Key", "in": "header", "schema": {"type": "string", "maxLength": 128}}
_SIGN_IN = {
    "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
    "session": {"type": "apiKey", "in": "cookie", "name": SESSION_COOKIE},
}

View = Callable[..., HttpResponse]


class Api(NinjaAPI):
    """Its document says what ninja leaves out: that errors are problem details, which headers count, and how to sign in.

    `headers` are parameters of the document by a part of the path that takes them.
    """

    def __init__(self, *, title: str, description: str, namespace: str, headers: dict[str, dict[str, Any]] | None = None) -> None:
        super().__init__(
            title=title, version="1", description=description, docs_url=None, openapi_url="/openapi.json", urls_namespace=namespace
        )
        self._headers = headers or {}
        self.add_decorator(_closed)
        self.exception_handler(NinjaValidationError)(_invalid)
        self.exception_handler(HttpError)(_unreadable)
        self.exception_handler(Exception)(as_response)

    def get_openapi_schema(self, **options: Any) -> OpenAPISchema:
        schema = super().get_openapi_schema(**options)
        schema["components"]["securitySchemes"] = _SIGN_IN
        for path, operations in schema["paths"].items():
            extra = [header for part, header in self._headers.items() if part in path]
            for method, operation in operations.items():
                operation["parameters"] += [_KEY] * (method == "post") + extra
                for response in operation["responses"].values():
                    if _is_problem(response):
                        response["content"] = {PROBLEM_JSON: response["content"]["application/json"]}
        return schema


def _is_problem(response: dict[str, Any]) -> bool:
    shape: dict[str, str] = response.get("content", {}).get("application/json", {}).get("schema", {})
    return shape.get("$ref", "").endswith("/ProblemOut")


def as_json(answer: Any, *, status: int = 200) -> HttpResponse:
    return HttpResponse(json.dumps(answer, separators=(",", ":")), status=status, content_type="application/json")


def _closed(view: View) -> View:
    """Refuses a parameter that the address does not have: misspelt, it would be a filter that filters nothing."""

    @wraps(view)
    def checked(request: HttpRequest, *args: Any, **given: Any) -> HttpResponse:
        if "query" in given:
            known = {field.alias or name for name, field in type(given["query"]).model_fields.items()}
            if unknown := set(request.GET) - known:
                raise ValidationFailed("There is no such parameter here.", param=min(unknown))
        return view(request, *args, **given)

    return checked


def _invalid(request: HttpRequest, refused: NinjaValidationError) -> HttpResponse:
    return as_validation_failed(refused.errors).response()


def _unreadable(request: HttpRequest, refused: HttpError) -> HttpResponse:
    if refused.status_code == 400:
        return ValidationFailed("The body is not JSON.", param="body").response()
    return as_response(request, refused)


def as_validation_failed(errors: Iterable[dict[str, Any]]) -> Problem:
    """The first of pydantic's errors, by the names that callers know."""
    first = next(iter(errors))
    # Pydantic names its own functions and unions beside the fields.
    place = [str(part) for part in first["loc"] if part not in ("body", "query", "path") and "[" not in str(part)]
    # The outermost name is the view's own parameter, which callers do not know.
    named = place[1:] if place[:1] in (["query"], ["body"]) else place
    message = str(first["msg"]).removeprefix("Value error, ")
    return ValidationFailed(message, param=".".join(named) or "body")
