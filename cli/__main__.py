"""`spendgate` and `python -m cli`: imports the commands and runs one of them."""

import gc


def main() -> None:
    """Runs the command line. Exempts imported objects from garbage collection, because they live until the exit.

    Collecting them at the start and at the exit took a third of the processor time of a short command.
    """
    gc.disable()
    from cli.main import run  # noqa: PLC0415 - after collections are off

    gc.freeze()
    gc.enable()
    run()


if __name__ == "__main__":
    main()
