"""A function of the operator that gets every log line, such as to report errors to another service."""

import importlib
import threading
from collections.abc import Callable
from typing import Any

from structlog.typing import EventDict, WrappedLogger

from runtime.settings import SettingsError

Hook = Callable[[WrappedLogger, str, dict[str, Any]], object]


class LogHook:
    """A processor of structlog that calls a function with a copy of each line's fields.

    The line is not changed, except that it gets the field `log_hook_error`, the exception's class, if the call fails.
    """

    def __init__(self, hook: Hook) -> None:
        self._hook = hook
        self._of_thread = threading.local()

    @classmethod
    def named(cls, name: str) -> "LogHook":
        """Imports the function with the name `module:function` and returns the hook that calls it.

        Raises SettingsError if it cannot be imported, or is not callable.
        """
        module, _, function = name.partition(":")
        try:
            hook = getattr(importlib.import_module(module), function)
        except Exception as error:  # noqa: BLE001 - whatever the module raises, the process ends with one line
            raise SettingsError(f"SPENDGATE_LOG_HOOK: cannot import {name}: {error}") from None
        if not callable(hook):
            raise SettingsError(f"SPENDGATE_LOG_HOOK: {name} is not a function")
        return cls(hook)

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        if getattr(self._of_thread, "is_inside", False):  # a line of the hook itself
            return event
        self._of_thread.is_inside = True
        try:
            self._hook(logger, method, dict(event))
        except Exception as error:  # noqa: BLE001 - a hook that fails must not stop the work
            event["log_hook_error"] = type(error).__name__
        finally:
            self._of_thread.is_inside = False
        return event
