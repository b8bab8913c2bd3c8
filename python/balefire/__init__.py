"""Balefire for Python: `balefire.host` runs a plugin as an exec channel, `balefire.store` is a plugin that sends to Balefire,
`balefire.blueteam` is the alert engine of BT-08 with Balefire behind it.

A plugin that is written for Balefire may raise `Retry` or `Rejected` in `write` and `done` to say what shall happen.
Standard library only.
"""

__version__ = "0.1.0"

CAUSES = ("auth", "gone", "network", "quota", "schema", "size")


class Retry(Exception):
    """Not now. With `after` (seconds) it is patience; without, a failure that is tried again."""

    def __init__(self, detail="", after=None, cause=None):
        super().__init__(detail)
        self.after = after
        self.cause = cause


class Rejected(Exception):
    """Never. `cause` is one of `CAUSES`; "schema" if it is not said."""

    def __init__(self, detail="", cause="schema"):
        super().__init__(detail)
        self.cause = cause
