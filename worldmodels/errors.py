"""What the user did wrong, said in one message without a traceback."""


class UserError(Exception):
    """A wrong input: the message names what, where, and what to do about it."""
