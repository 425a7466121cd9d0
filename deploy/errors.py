"""What can go wrong with the stack, said with what to do about it."""


class StackError(Exception):
    """The stack cannot start, stop or be reached. `hint` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(f"{message}\n  {hint}" if hint else message)
        self.message = message
        self.hint = hint


class KeyLostError(StackError):
    """A secret that is not there, or is none: what is wrong is what was put there, not a server."""
