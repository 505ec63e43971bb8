"""Probes and metrics: all that this process answers over HTTP."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

from apps.kernel import health
from realtime.consumers import hub


async def readyz(request: HttpRequest) -> HttpResponse:
    """Can work: events come in from Redis. Without them open sockets stay open, but new ones are better off elsewhere."""
    hub.start()
    return JsonResponse({"status": "ok" if hub.usable else "no redis"}, status=200 if hub.usable else 503)


urlpatterns = [path("healthz", health.healthz), path("readyz", readyz), path("metrics", health.metrics)]
