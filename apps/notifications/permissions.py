"""Which role may do what in notifications. What is not here is denied."""

from apps.kernel.callers import Permissions

PERMISSIONS: Permissions = {}
