"""The errors that only records has."""

from apps.kernel.problems import Problem


class VersionConflict(Problem):
    """Somebody else changed it since you read it. Read it again, then decide."""

    code, status, title = "version_conflict", 409, "It has changed since you read it"
