from django.urls import path

from engine.ui import views

urlpatterns = [
    path("", views.start),
    path("calendar/", views.calendar),
    path("desk/", views.desk),
    path("book/<slug:clinic>/", views.booking),
    path("widget/v1/embed.js", views.embed),
    path("widget/v1/<slug:clinic>/", views.widget),
    path("manage/<str:token>/", views.manage),
    path("settings/", views.setup),
    path("audit/", views.audit_log),
    path("api/docs/", views.docs),
    path("api/docs/events/", views.events),
]
