"""The addresses of the notifications service."""

from django.urls import URLPattern, URLResolver, path

from apps.kernel import events, health
from apps.notifications import views
from apps.notifications.api import api

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/notifications/v1/webhooks/twilio", views.twilio),
    path("api/notifications/v1/unsubscribe/<str:token>", views.unsubscribe),
    path("api/notifications/v1/", api.urls),
    *health.urls(),
    *events.urls(),
]

handler404 = "apps.kernel.http.not_found"
handler500 = "apps.kernel.http.server_error"
