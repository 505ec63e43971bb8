"""Settings of the auth service."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from apps.kernel.environment import ServiceEnvironment, read
from apps.kernel.settings import common


class AuthEnvironment(ServiceEnvironment):
    """What only auth reads."""

    database_url_auth: SecretStr
    service_key_file_auth: Path
    token_signing_key_file: Path
    """The private key (PEM) that access tokens are signed with; `keys.py` keeps the next one beside it."""
    smtp_url: SecretStr = SecretStr("smtp://127.0.0.1:1025")
    """Where mail goes; `smtps://user:password@host:port` with TLS from the start."""
    mail_from: str = "HealthFlow <no-reply@healthflow.example>"


ENV = read(AuthEnvironment)

_HERE = Path(__file__).parent
_APPS = (
    "apps.auth.apps.AccountsConfig",
    "django.contrib.staticfiles",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "django_otp.plugins.otp_static",
    "django_otp_webauthn",
    "oauth2_provider",
)
globals().update(common(ENV, name="auth", url=ENV.database_url_auth, apps=_APPS))
MIDDLEWARE = ["apps.kernel.http.Door", "whitenoise.middleware.WhiteNoiseMiddleware"]
HANDLERS = "apps.auth.handlers"
# What Django itself says on a page, and the names of months, are in the page's language.
USE_I18N = True
CSRF_FAILURE_VIEW = "apps.auth.ui.showing.not_ours"
FEED_READERS = ("engine", "records", "billing", "notifications")
"""The services that take over the facts of this one."""

AUTH_USER_MODEL = "accounts.Person"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator",
        "OPTIONS": {"user_attributes": ("name", "email")},
    },
]

# How often one may try is ours (throttle.py): django-otp's own counts for all the world, and would lock a person out.
OTP_TOTP_THROTTLE_FACTOR = 0
OTP_STATIC_THROTTLE_FACTOR = 0
OTP_TOTP_ISSUER = "HealthFlow"
# A code of 30 s before or after is taken; a phone that was wrong once must not move that window.
OTP_TOTP_SYNC = False

_PUBLIC = urlsplit(ENV.public_url)
# A passkey belongs to a name, never to an address of the network: on this machine that name is localhost.
_LOOPBACK = _PUBLIC.hostname in ("127.0.0.1", "localhost")
OTP_WEBAUTHN_RP_ID = "localhost" if _LOOPBACK else _PUBLIC.hostname or ""
OTP_WEBAUTHN_RP_NAME = "HealthFlow"
OTP_WEBAUTHN_ALLOWED_ORIGINS = [f"http://localhost:{_PUBLIC.port or 80}" if _LOOPBACK else ENV.public_url]
OTP_WEBAUTHN_EXCEPTION_LOGGER_NAME = ""
OTP_WEBAUTHN_ALLOW_PASSWORDLESS_LOGIN = False

_SMTP = urlsplit(ENV.smtp_url.get_secret_value())
EMAIL_HOST, EMAIL_PORT = _SMTP.hostname or "127.0.0.1", _SMTP.port or 25
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = unquote(_SMTP.username or ""), unquote(_SMTP.password or "")
EMAIL_USE_SSL = _SMTP.scheme == "smtps"
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = ENV.mail_from

STATIC_URL = "/account/static/"
STATICFILES_DIRS = [_HERE / "static"]
# No build step and no collecting: files are served from where they are written, and asked for again by ETag.
WHITENOISE_USE_FINDERS = True
WHITENOISE_MAX_AGE = 0
WHITENOISE_ALLOW_ALL_ORIGINS = False

OAUTH2_PROVIDER_APPLICATION_MODEL = "oauth2_provider.Application"
OAUTH2_PROVIDER = {
    "OAUTH2_VALIDATOR_CLASS": "apps.auth.oauth.Validator",
    "ACCESS_TOKEN_GENERATOR": "apps.auth.oauth.access_token",
    # Named, or the toolkit would take the other one for both.
    "REFRESH_TOKEN_GENERATOR": "oauthlib.oauth2.rfc6749.tokens.random_token_generator",
    "ACCESS_TOKEN_EXPIRE_SECONDS": 300,  # oauth.TOKEN_S
    "REFRESH_TOKEN_EXPIRE_SECONDS": 3600,  # oauth.IDLE_S
    "ROTATE_REFRESH_TOKEN": True,
    "REFRESH_TOKEN_REUSE_PROTECTION": True,
    "PKCE_REQUIRED": True,
    "SCOPES": {"clinic": "What the role may do in the clinic"},
    "OIDC_ISS_ENDPOINT": ENV.public_url,
    # RFC 9700: nothing of what it advises against.
    **{
        f"COMPLIANT_BCP_RFC9700_{rule}": True
        for rule in (
            "IMPLICIT_GRANT",
            "PASSWORD_GRANT",
            "PKCE_METHOD",
            "ACCESS_TOKEN_TRANSPORT",
            "AUTHZ_RESPONSE_ISS",
            "TOKEN_STORAGE",
            "REFRESH_TOKEN",
            "REDIRECT_URI_SCHEME",
            "REDIRECT_URI_MATCHING",
            "PKCE_REQUIRED",
        )
    },
}
