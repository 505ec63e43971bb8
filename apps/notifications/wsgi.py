"""The WSGI door of the notifications service."""

import os

from django.core.wsgi import get_wsgi_application

from apps.kernel.http import entrance

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "apps.notifications.settings")
application = entrance(get_wsgi_application())
