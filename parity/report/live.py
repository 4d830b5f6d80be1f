"""What a person sees while a run goes on: a progress bar over the latest rows."""

from __future__ import annotations

from collections import deque
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from parity.report.tables import rows_table
from parity.results import Row
from parity.run import Listener

SHOWN = 12  # rows of the live table


class LiveView(Listener):
    """A live table with progress; silent where the console is no terminal."""

    def __init__(self, console: Console) -> None:
        self._rows: deque[Row] = deque(maxlen=SHOWN)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._progress.add_task("starting", total=None)
        self._live = Live(
            console=console, get_renderable=self._render, transient=True, refresh_per_second=4
        )
        self._quiet = not console.is_terminal

    def model(self, name: str, cases: int) -> None:
        """Start a network's bar."""
        self._progress.reset(self._task, total=cases, description=name)

    def say(self, text: str) -> None:
        """Show what is being done."""
        self._progress.update(self._task, description=text)

    def rows(self, rows: list[Row]) -> None:
        """Show the rows of a case that is done."""
        self._rows.extend(rows)
        if rows:
            self._progress.update(self._task, advance=1, description=rows[0].model)

    def __enter__(self) -> Self:
        if not self._quiet:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._quiet:
            self._live.stop()

    def _render(self) -> RenderableType:
        return Group(rows_table(self._rows, ""), self._progress)
