"""The addresses of the Appointments service."""

from django.urls import URLPattern, URLResolver, include, path

from apps.kernel import events, health
from engine import feed
from engine.api import api

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/engine/v1/", api.urls),
    *health.urls(),
    *events.urls(feed.read),
    path("", include("engine.ui.urls")),
]

handler404 = "engine.ui.views.not_found"
handler500 = "apps.kernel.http.server_error"
