"""Which role may do what in billing. What is not here is denied."""

from apps.kernel.callers import Permissions

PERMISSIONS: Permissions = {}
