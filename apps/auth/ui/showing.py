"""Pages in their reader's language, and what they say when something is refused."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from apps.auth.texts import texts_for
from apps.kernel.problems import Problem
from apps.kernel.texts import LANGUAGES, language_of


def show(request: HttpRequest, template: str, given: dict[str, Any] | None = None, *, status: int = 200) -> HttpResponse:
    """A page in its reader's language, with a link to the same page in the other one unless it answers a form."""
    language = language_of(request)
    other = next(name for name in LANGUAGES if name != language)
    # Relative, and with all that was asked: who changes the language stays where they are.
    query = request.GET.copy()
    query["lang"] = other
    switch = f"?{query.urlencode()}" if request.method in ("GET", "HEAD") else ""
    known = {"language": language, "other_language": other, "switch": switch, "t": texts_for(request)}
    return render(request, template, known | (given or {}), status=status)


def refusal(request: HttpRequest, problem: Problem) -> HttpResponse:
    """A page for people; the problem itself for programs and our own modules."""
    if "text/html" not in request.headers.get("Accept", "") or request.path.startswith("/api/"):
        return problem.response()
    said = texts_for(request)["problems"]
    given = {"problem": problem, "sentence": said.get(problem.code, said["internal_error"])}
    return show(request, "refused.html", given, status=problem.status)


def not_ours(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Django's CSRF_FAILURE_VIEW."""
    return show(request, "try_again.html", status=403)
