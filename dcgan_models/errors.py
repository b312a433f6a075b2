"""The one exception that means "the user can mend this": its text is the whole message."""


def printable(text: str) -> str:
    """Text from anywhere as one line: what cannot be printed is written as Python escapes it."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


class UserError(Exception):
    """Bad input from outside: a file, a setting, a name.

    The text is one line that says what was wrong, where, and what is allowed. Commands print it
    after `error:` and exit with 1; assets fail with it as their description. A traceback is for
    our own bugs.

    Names from outside stand in it, which may hold line breaks or a terminal's commands: what cannot
    be printed is written as Python escapes it.
    """

    def __init__(self, text: str) -> None:
        super().__init__(printable(text))
