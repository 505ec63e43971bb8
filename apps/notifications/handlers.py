"""What notifications does about the facts of other services."""

from apps.kernel.inbox import Handlers

HANDLERS: Handlers = {}
