"""Progress of long work: a bar with rate and time left, silent when the output is no terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from limbeck.launch import launch


class _Rate(TextColumn):
    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: object) -> Text:
        speed = getattr(task, "speed", None)
        if not speed:
            return Text("")
        return Text(f"{speed:.1f}/s" if speed >= 1 else f"{1 / speed:.1f} s each", style="dim")


@contextmanager
def bar(title: str, total: int) -> Iterator[Callable[..., None]]:
    """Yield a function that moves the bar: `advance(done, total)` as those do who count cases, or `(step, loss)`."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description:<28}"),
        BarColumn(bar_width=28),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", style="dim"),
    )
    with Progress(*columns, console=console, disable=not (console.is_terminal and launch().first)) as progress:
        task = progress.add_task(title, total=total, note="")

        def advance(done: int, more: float | int | None = None) -> None:
            note = f"loss {more:.3f}" if isinstance(more, float) else ""
            progress.update(task, completed=done, total=more if isinstance(more, int) else None, note=note)

        yield advance
