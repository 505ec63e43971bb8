"""The WSGI door of the billing service."""

import os

from django.core.wsgi import get_wsgi_application

from apps.kernel.http import entrance

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "apps.billing.settings")
application = entrance(get_wsgi_application())
