"""What every command line shares: errors without traceback, exit codes, terminals."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from chunking.errors import UserError

if TYPE_CHECKING:  # a third of a command's start goes into importing rich
    from rich.console import Console

EXIT_OK, EXIT_FAILED, EXIT_COULD_NOT = 0, 1, 2
EXIT_INTERRUPTED = 130  # the shell's number for SIGINT


class Once(argparse.Action):
    """For options that take a list: given again, argparse would drop the first without a word.

    An option of one value may be overridden by a later one, as everywhere: so scripts are made.
    """

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Keep the value, or end with exit code 2 where there is another one already."""
        given = vars(namespace).setdefault("_given", {})
        if given.get(self.dest, values) != values:
            more = "name all its values at once, with commas between them"
            parser.error(f"{option_string} is given twice, with different values; {more}")
        given[self.dest] = values
        setattr(namespace, self.dest, values)


def stderr_console() -> Console:
    """Progress and messages go to standard error, so that standard output can be piped."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


def run_cli(main: Callable[[list[str]], int], argv: list[str] | None = None) -> int:
    """Run a command and turn a user's mistake into a message and an exit code.

    Args:
        main: takes the arguments, returns the exit code.
        argv: the arguments, or None for ``sys.argv[1:]``.
    """
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    try:
        return main(sys.argv[1:] if argv is None else argv)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; nothing half-written was kept", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader went away (`| head`). Nothing more can be said to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
