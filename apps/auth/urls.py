"""The addresses of the auth service."""

from django.urls import URLPattern, URLResolver, include, path

from apps.auth.api import api
from apps.kernel import events, health

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/auth/v1/", api.urls),
    *events.urls(),
    *health.urls(),
    path("", include("apps.auth.ui.urls")),
]

handler404 = "apps.auth.ui.page.not_found"
handler500 = "apps.kernel.http.server_error"
