"""The WSGI door."""

import os

from django.core.wsgi import get_wsgi_application

from apps.kernel.http import entrance

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "apps.auth.settings")
application = entrance(get_wsgi_application())
