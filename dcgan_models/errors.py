"""The one exception that means "the user can mend this": its text is the whole message."""


class UserError(Exception):
    """Bad input from outside: a file, a setting, a name.

    The text is one line that says what was wrong, where, and what is allowed. Commands print it
    after `error:` and exit with 1; assets fail with it as their description. A traceback is for
    our own bugs.
    """
