"""The exceptions that rules and use cases raise for values of a person. Expected outcomes are return values instead."""


class InvalidValue(ValueError):
    """A value from a person breaks a rule. `field` is the name that person sees; `message` is one line for them."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


class NotFound(InvalidValue):
    """A person named something that does not exist, or that they may not see. The API answers 404."""
