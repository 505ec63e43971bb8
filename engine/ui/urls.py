from django.urls import path

from engine.ui import views

urlpatterns = [
    path("", views.start),
    path("calendar/", views.calendar),
    path("book/<slug:clinic>/", views.booking),
    path("manage/<str:token>/", views.manage),
    path("audit/", views.audit_log),
    path("api/docs/", views.docs),
    path("api/docs/events/", views.events),
]
