"""What people type on the pages."""

from typing import Any

from django import forms


class Form(forms.Form):
    def __init__(self, data: Any = None) -> None:
        super().__init__(data, label_suffix="")


class SignIn(Form):
    email = forms.CharField(
        label="E-mail", max_length=254, widget=forms.EmailInput(attrs={"autocomplete": "username", "autofocus": True})
    )
    password = forms.CharField(max_length=1000, strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}))


class Code(Form):
    code = forms.CharField(
        max_length=20,
        widget=forms.TextInput(attrs={"autocomplete": "one-time-code", "autofocus": True, "spellcheck": "false"}),
    )


class AskForReset(Form):
    email = forms.EmailField(
        label="E-mail", max_length=254, widget=forms.EmailInput(attrs={"autocomplete": "username", "autofocus": True})
    )


class NewPassword(Form):
    """One field, not two: what was mistyped can be looked at, and otherwise reset."""

    new_password = forms.CharField(
        max_length=1000,
        strip=False,
        help_text="At least 12 characters. A few unrelated words are good.",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )


class ChangePassword(NewPassword):
    current_password = forms.CharField(
        max_length=1000, strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "current-password"})
    )
    field_order = ["current_password", "new_password"]
