"""Probes and metrics: all that this process answers over HTTP."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

from apps.kernel import health
from realtime.process import hub, lobby, start


async def readyz(request: HttpRequest) -> HttpResponse:
    """Can work: stays, and events come in from Redis. If not, open sockets stay open, but new ones are better off elsewhere."""
    start()
    if lobby.closing:
        return JsonResponse({"status": "closing"}, status=503)
    return JsonResponse({"status": "ok" if hub.usable else "no redis"}, status=200 if hub.usable else 503)


urlpatterns = [path("healthz", health.healthz), path("readyz", readyz), path("metrics", health.metrics)]
