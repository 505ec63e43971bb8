"""The addresses of the records service."""

from django.urls import URLPattern, URLResolver, path

from apps.kernel import events, health
from apps.records import internal
from apps.records.api import api

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/records/v1/", api.urls),
    *events.urls(),
    path("internal/v1/", internal.api.urls),
    *health.urls(),
]

handler404 = "apps.kernel.http.not_found"
handler500 = "apps.kernel.http.server_error"
