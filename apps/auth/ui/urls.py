from django.urls import path

from apps.auth.ui import account, links, sign_in

urlpatterns = [
    path("login/", sign_in.login),
    path("login/code/", sign_in.code),
    path("login/passkey/begin/", sign_in.passkey_begin),
    path("login/passkey/", sign_in.passkey_finish),
    path("logout/", sign_in.logout),
    path("account/", account.account),
    path("account/app/", account.app),
    path("account/recovery/", account.recovery),
    path("account/factors/remove/", account.remove_factor),
    path("account/passkeys/begin/", account.passkey_begin),
    path("account/passkeys/", account.passkey_finish),
    path("account/password/", account.password),
    path("account/sessions/end/", account.end_sessions),
    path("account/clinic/", account.clinic),
    path("reset/", links.ask_for_reset),
    path("reset/<str:token>/", links.reset),
    path("invite/<str:token>/", links.invite),
]
