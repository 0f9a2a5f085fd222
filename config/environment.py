"""Reads settings from the environment and `.env`, and says which one is wrong where one is wrong."""

from typing import Any

import environ
from environ.compat import ImproperlyConfigured

_TRUE = frozenset({"true", "on", "ok", "y", "yes", "1"})
_FALSE = frozenset({"false", "off", "n", "no", "0", ""})


class Env(environ.Env):  # type: ignore[misc]  # the library is not typed
    """`environ.Env`, but a value of the wrong kind is an error that names its setting.

    Raises `ImproperlyConfigured`. (The library raises a bare `ValueError` for a number, and takes a misspelt
    truth value for false.)
    """

    def get_value(self, var: str, cast: Any = None, default: Any = environ.Env.NOTSET, **more: Any) -> Any:
        given = self.ENVIRON.get(var)
        if cast is bool and given is not None and given.strip().lower() not in _TRUE | _FALSE:
            raise ImproperlyConfigured(f"{var} has to be true or false; it is {given!r}.")
        try:
            return super().get_value(var, cast=cast, default=default, **more)
        except ValueError as error:
            wanted = "a whole number" if cast is int else f"of the form {getattr(cast, '__name__', cast)}"
            raise ImproperlyConfigured(f"{var} has to be {wanted}; it is {given!r}.") from error
