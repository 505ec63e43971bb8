"""Pages that a mail leads to: /invite/<token>/ and /reset/<token>/; and /reset/, which asks for such a mail."""

from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from apps.auth import letters, people, throttle
from apps.auth.models import Invitation, PasswordReset, Person
from apps.auth.ui import page as pages
from apps.auth.ui.forms import AskForReset, NewPassword
from apps.auth.ui.page import page
from apps.auth.words import network, normal_email
from apps.kernel.problems import RateLimited


@page
@require_http_methods(["GET", "HEAD", "POST"])
def ask_for_reset(request: HttpRequest) -> HttpResponse:
    """The same answer for every address, and as fast: whether it is anybody's is looked up when the mail is sent."""
    form = AskForReset(request.POST or None)
    if request.method != "POST" or not form.is_valid():
        return render(request, "reset.html", {"form": form}, status=422 if request.method == "POST" else 200)
    email, here = normal_email(form.cleaned_data["email"]), network(pages.visitor(request).address)
    try:
        throttle.count([throttle.Bucket(throttle.NETWORK, f"letter {here}"), throttle.Bucket(throttle.LETTER, email)])
        PasswordReset.objects.create(email=email)
    except RateLimited:
        pass  # three mails are under way already; it says nothing else either
    return render(request, "reset_sent.html")


@page
@require_http_methods(["GET", "HEAD", "POST"])
def reset(request: HttpRequest, token: str) -> HttpResponse:
    form = NewPassword(request.POST or None)
    with transaction.atomic():
        link = letters.good(PasswordReset, token)
        if link is None or not Person.objects.filter(email=link.email, is_active=True).exists():
            return render(request, "link_gone.html", status=404)
        if request.method == "POST" and form.is_valid():
            try:
                people.reset_password(request, link, form.cleaned_data["new_password"])
                return pages.forget(redirect("/login/"))
            except ValidationError as refused:
                form.add_error("new_password", refused)
    return render(request, "new_password.html", {"form": form}, status=422 if request.method == "POST" else 200)


@page
@require_http_methods(["GET", "HEAD", "POST"])
def invite(request: HttpRequest, token: str) -> HttpResponse:
    form = NewPassword(request.POST or None)
    with transaction.atomic():
        link = letters.good(Invitation, token)
        if link is None:
            return render(request, "link_gone.html", status=404)
        known = Person.objects.filter(email=link.email).exists()
        if request.method == "POST" and (known or form.is_valid()):
            try:
                people.accept(request, link, password=None if known else form.cleaned_data["new_password"])
                return redirect("/login/")
            except ValidationError as refused:
                form.add_error("new_password", refused)
    given = {"form": form, "invitation": link, "known": known}
    return render(request, "invite.html", given, status=422 if request.method == "POST" else 200)
