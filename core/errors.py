"""The one exception that carries a message meant for the person at the keyboard."""


class UserError(ValueError):
    """Bad input. Its text is one line: what was expected, what came, what to do."""
