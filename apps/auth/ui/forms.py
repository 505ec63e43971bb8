"""What people type on the pages. Labels, help and refusals are in the language of the page."""

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from apps.auth.texts import texts_for


class Form(forms.Form):
    """What a page was sent, or empty where it was only asked for. A field's label is the message of its name."""

    def __init__(self, request: HttpRequest) -> None:
        super().__init__(request.POST if request.method == "POST" else None, label_suffix="")
        self._said = texts_for(request)["fields"]
        for name, field in self.fields.items():
            field.label, field.help_text = self._said[name], self._said.get(f"{name}_help", "")


class SignIn(Form):
    email = forms.CharField(max_length=254, widget=forms.EmailInput(attrs={"autocomplete": "username", "autofocus": True}))
    password = forms.CharField(max_length=1000, strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}))


class Code(Form):
    code = forms.CharField(
        max_length=20,
        widget=forms.TextInput(attrs={"autocomplete": "one-time-code", "autofocus": True, "spellcheck": "false"}),
    )


class AskForReset(Form):
    email = forms.EmailField(max_length=254, widget=forms.EmailInput(attrs={"autocomplete": "username", "autofocus": True}))


class NewPassword(Form):
    """One field, not two: what was mistyped can be looked at, and otherwise reset."""

    new_password = forms.CharField(max_length=1000, strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}))

    def refuse(self, refused: ValidationError) -> None:
        """Says what `validate_password` found, in our words: Django's own name columns of the database."""
        for error in refused.error_list:
            self.add_error("new_password", self._said[str(error.code)])


class ChangePassword(NewPassword):
    current_password = forms.CharField(
        max_length=1000, strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "current-password"})
    )
    field_order = ["current_password", "new_password"]
