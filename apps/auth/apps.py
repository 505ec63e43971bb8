"""The app's label is `accounts`: `auth` is Django's own."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "apps.auth"
    label = "accounts"
