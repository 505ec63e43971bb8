"""The addresses of the billing service."""

from django.urls import URLPattern, URLResolver, path

from apps.billing.api import api
from apps.kernel import events, health

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/billing/v1/", api.urls),
    *health.urls(),
    *events.urls(),
]

handler404 = "apps.kernel.http.not_found"
handler500 = "apps.kernel.http.server_error"
