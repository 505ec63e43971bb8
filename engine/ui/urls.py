from django.urls import path

from engine.ui import views

urlpatterns = [
    path("", views.start),
    path("calendar/", views.calendar),
    path("book/<slug:clinic>/", views.booking),
    path("audit/", views.audit_log),
    path("api/docs/", views.docs),
    path("api/docs/events/", views.events),
    path("demo/sign-in/", views.demo_sign_in),
    path("demo/sign-out/", views.demo_sign_out),
]
