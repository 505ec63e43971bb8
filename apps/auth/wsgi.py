"""The WSGI door."""

import os

from django.core.wsgi import get_wsgi_application

from apps.kernel.http import sized

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "apps.auth.settings")
application = sized(get_wsgi_application())
