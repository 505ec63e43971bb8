"""Pages that a mail leads to: /invite/<token>/ and /reset/<token>/; and /reset/, which asks for such a mail."""

from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods

from apps.auth import letters, people, throttle
from apps.auth.models import Invitation, PasswordReset, Person
from apps.auth.texts import texts_for
from apps.auth.ui import page as pages
from apps.auth.ui.forms import AskForReset, NewPassword
from apps.auth.ui.page import page
from apps.auth.ui.showing import show
from apps.auth.words import network, normal_email
from apps.kernel.problems import RateLimited
from apps.kernel.texts import language_of


@page
@require_http_methods(["GET", "HEAD", "POST"])
def ask_for_reset(request: HttpRequest) -> HttpResponse:
    """The same answer for every address, and as fast: whether it is anybody's is looked up when the mail is sent."""
    form = AskForReset(request)
    if request.method != "POST" or not form.is_valid():
        return show(request, "reset.html", {"form": form}, status=422 if request.method == "POST" else 200)
    email, here = normal_email(form.cleaned_data["email"]), network(pages.visitor(request).address)
    try:
        throttle.count([throttle.Bucket(throttle.NETWORK, f"letter {here}"), throttle.Bucket(throttle.LETTER, email)])
        PasswordReset.objects.create(email=email, language=language_of(request))
    except RateLimited:
        pass  # three mails are under way already; it says nothing else either
    return show(request, "reset_sent.html")


@page
@require_http_methods(["GET", "HEAD", "POST"])
def reset(request: HttpRequest, token: str) -> HttpResponse:
    form = NewPassword(request)
    with transaction.atomic():
        link = letters.good(PasswordReset, token)
        if link is None or not Person.objects.filter(email=link.email, is_active=True).exists():
            return show(request, "link_gone.html", status=404)
        if request.method == "POST" and form.is_valid():
            try:
                people.reset_password(request, link, form.cleaned_data["new_password"])
                return pages.forget(redirect("/login/"))
            except ValidationError as refused:
                form.refuse(refused)
    return show(request, "new_password.html", {"form": form}, status=422 if request.method == "POST" else 200)


@page
@require_http_methods(["GET", "HEAD", "POST"])
def invite(request: HttpRequest, token: str) -> HttpResponse:
    form = NewPassword(request)
    with transaction.atomic():
        link = letters.good(Invitation, token)
        if link is None:
            return show(request, "link_gone.html", status=404)
        known = Person.objects.filter(email=link.email).exists()
        if request.method == "POST" and (known or form.is_valid()):
            try:
                people.accept(request, link, password=None if known else form.cleaned_data["new_password"])
                return redirect("/login/")
            except ValidationError as refused:
                form.refuse(refused)
    role = texts_for(request)["roles"][link.role]
    given = {"form": form, "invitation": link, "known": known, "role": role}
    return show(request, "invite.html", given, status=422 if request.method == "POST" else 200)
