"""The engine's server with two addresses more, that serve given bytes: `/trivial`, and `/limited` behind the public's rate limit.

For `availability.py`, which starts it. The bytes are those of the file that TRIVIAL_BODY names.
"""

import os
from functools import cache
from pathlib import Path

from django.http import HttpRequest, HttpResponse
from django.urls import path

from engine.wsgi import application as application

from engine import urls  # isort: skip - models can be imported only now
from engine.callers import PUBLIC_READ, anybody  # isort: skip - the same


@cache
def _body() -> bytes:
    return Path(os.environ["TRIVIAL_BODY"]).read_bytes()


def trivial(request: HttpRequest) -> HttpResponse:
    return HttpResponse(_body(), content_type="application/json")


def limited(request: HttpRequest) -> HttpResponse:
    anybody(request, PUBLIC_READ)
    return HttpResponse(_body(), content_type="application/json")


urls.urlpatterns += [path("trivial", trivial), path("limited", limited)]
