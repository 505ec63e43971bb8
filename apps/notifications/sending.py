"""What a provider may answer instead of yes."""


class Refused(Exception):
    """This message will never be taken; `code` says why, and says nothing of the patient."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class TryLater(Exception):
    """Not now. `maybe_done`: the provider may have taken the message all the same."""

    def __init__(self, code: str, *, maybe_done: bool = False) -> None:
        super().__init__(code)
        self.code = code
        self.maybe_done = maybe_done
