"""What the rules refuse, as exceptions: raised for a value a person gave, never for an expected outcome."""


class InvalidValue(ValueError):
    """A value that breaks a rule. `field` is the name a person knows it by; the message is one line for them."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message
