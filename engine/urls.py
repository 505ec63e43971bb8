"""The addresses of the Appointments service."""

from django.urls import URLPattern, URLResolver, include, path

from apps.kernel import health
from engine.api import api

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/engine/v1/", api.urls),
    *health.urls(),
    path("", include("engine.ui.urls")),
]

handler404 = "apps.kernel.http.not_found"
handler500 = "apps.kernel.http.server_error"
