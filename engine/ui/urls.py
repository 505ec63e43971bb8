from django.urls import path

from engine.ui import views

urlpatterns = [
    path("", views.start),
    path("calendar/", views.calendar),
    path("book/<slug:clinic>/", views.booking),
    path("api/docs/", views.docs),
]
