"""The one exception for mistakes that a user can mend."""


class UserError(Exception):
    """Says in one line what was wrong, where, and what to do; the command line prints it without a traceback."""
