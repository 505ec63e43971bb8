"""The WSGI door: HTTP is synchronous here, with one persistent database connection a thread (adr/0003)."""

import os

from django.core.wsgi import get_wsgi_application

from apps.kernel.http import entrance

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "engine.settings")
_django = get_wsgi_application()

from engine.quick import at_hand, quick  # noqa: E402 - models can be imported only now

application = entrance(quick(_django), at_hand=at_hand)
