"""Errors a person may meet. Each says what is wrong and what to do, and knows its exit code."""


class PrevisageError(Exception):
    """A named failure: `code` for machines, the message for people, `hint` says what to do."""

    exit_code = 1

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()

    def __reduce__(self) -> tuple:
        return (type(self), (self.code, self.message, self.hint))


class UsageError(PrevisageError):
    """The call itself is wrong: an unknown name, a value outside its range."""

    exit_code = 2


class InputRefused(PrevisageError):
    """The video, photo or case cannot be used; the hint says what to supply instead."""

    exit_code = 3
