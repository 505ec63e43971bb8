"""How long a body may be: 64 KiB as in every service, and only a document may be longer."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from apps.kernel.problems import PayloadTooLarge

SMALL = 64 * 1024


class Bodies:
    """Middleware behind the kernel's door, which keeps everything below DATA_UPLOAD_MAX_MEMORY_SIZE."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        length = request.META.get("CONTENT_LENGTH") or "0"
        small = not (request.method == "POST" and request.path.endswith("/documents"))
        if small and length.isdigit() and int(length) > SMALL:
            return PayloadTooLarge().response()
        return self._get_response(request)
