"""The one error that is the user's to mend."""


class UserError(ValueError):
    """Bad input: the message names the file or argument, what is wrong and what to do.

    The command line prints it without a traceback.
    """
