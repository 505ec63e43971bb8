"""The pages and the API of the monolith."""

import json
from datetime import date, datetime, timedelta

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from loadtests.legacy.models import Appointment, Patient, Practice, Practitioner, VisitType
from loadtests.legacy.scheduling import free_slots, is_free

_WORKDAYS = 5


@require_GET
def up(_request: HttpRequest) -> HttpResponse:
    return HttpResponse("up")


@require_GET
def profile(request: HttpRequest, practice: int) -> HttpResponse:
    """Who works at a practice, and what can be booked."""
    return render(request, "practice.html", {"practice": get_object_or_404(Practice, id=practice)})


@require_GET
def week(request: HttpRequest, practice: int) -> HttpResponse:
    """The front desk's week: every practitioner's appointments, day by day."""
    monday = date.fromisoformat(request.GET["monday"])
    days = [monday + timedelta(days=number) for number in range(_WORKDAYS)]
    rows = [
        {
            "practitioner": practitioner,
            "days": [practitioner.appointments.filter(start__date=day, status=Appointment.Status.BOOKED) for day in days],
        }
        for practitioner in get_object_or_404(Practice, id=practice).practitioners.all()
    ]
    return render(request, "week.html", {"days": days, "rows": rows})


@require_GET
def availability(request: HttpRequest, practitioner: int) -> JsonResponse:
    """The free times of one practitioner in a week."""
    found = get_object_or_404(Practitioner, id=practitioner)
    visit_type = get_object_or_404(VisitType, id=request.GET["visit_type"])
    monday, length = date.fromisoformat(request.GET["monday"]), timedelta(minutes=visit_type.minutes)
    starts = [start for number in range(_WORKDAYS) for start in free_slots(found, monday + timedelta(days=number), length)]
    return JsonResponse({"slots": [start.isoformat() for start in starts]})


@csrf_exempt
@require_POST
def book(request: HttpRequest) -> JsonResponse:
    """Checks that the time is free, then books it."""
    asked = json.loads(request.body)
    practitioner = get_object_or_404(Practitioner, id=asked["practitioner"])
    visit_type = get_object_or_404(VisitType, id=asked["visit_type"], practice=practitioner.practice)
    start = datetime.fromisoformat(asked["start"])
    end = start + timedelta(minutes=visit_type.minutes)
    if not is_free(practitioner, start, end):
        return JsonResponse({"error": "This time is not available any more."}, status=409)
    patient, _ = Patient.objects.get_or_create(email=asked["email"], defaults={"name": asked["name"], "phone": asked["phone"]})
    appointment = Appointment.objects.create(
        practitioner=practitioner, patient=patient, visit_type=visit_type, start=start, end=end
    )
    return JsonResponse({"id": appointment.id}, status=201)


@csrf_exempt
@require_POST
def cancel(_request: HttpRequest, appointment: int) -> JsonResponse:
    found = get_object_or_404(Appointment, id=appointment)
    found.status = Appointment.Status.CANCELLED
    found.save()
    return JsonResponse({"id": found.id, "status": found.status})


@csrf_exempt
@require_POST
def move(request: HttpRequest, appointment: int) -> JsonResponse:
    """Checks that the new time is free, then moves the appointment there."""
    found = get_object_or_404(Appointment, id=appointment)
    start = datetime.fromisoformat(json.loads(request.body)["start"])
    end = start + timedelta(minutes=found.visit_type.minutes)
    if not is_free(found.practitioner, start, end):
        return JsonResponse({"error": "This time is not available any more."}, status=409)
    found.start, found.end = start, end
    found.save()
    return JsonResponse({"id": found.id, "start": found.start.isoformat()})
