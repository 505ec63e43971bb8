from django.urls import path

from loadtests.legacy import views

urlpatterns = [
    path("up", views.up),
    path("practices/<int:practice>/", views.profile),
    path("practices/<int:practice>/week/", views.week),
    path("practitioners/<int:practitioner>/availability/", views.availability),
    path("appointments/", views.book),
    path("appointments/<int:appointment>/cancel/", views.cancel),
    path("appointments/<int:appointment>/move/", views.move),
]
