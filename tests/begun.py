"""Commands that begin at once, each in a process of its own that can be signalled, limited and killed.

A start of Python, torch and its optimisers takes over four seconds of a processor. One process imports them for all
tests of a worker, and is forked into what they begin; what a command would spawn is forked from it in turn. A test that
is about a start, or about what is imported in it, starts Python itself.
"""

from __future__ import annotations

import atexit
import os
import pkgutil
import runpy
import signal
import sys
import tempfile
from collections.abc import Callable
from multiprocessing import get_context, set_start_method
from pathlib import Path

import limbeck

_SERVER = get_context("forkserver")
_MODULES = [module.name for module in pkgutil.walk_packages(limbeck.__path__, "limbeck.")]
_SERVER.set_forkserver_preload(
    [*(name for name in _MODULES if name != "limbeck.__main__"), "lightning.fabric", "torch._dynamo", "scipy.stats"]
)


class Begun:
    """As much of `subprocess.Popen` as tests use.

    Args:
        words: what follows `limbeck`, or a script and its words.
        first: done in the new process before that.
        environment: variables that it has besides those of the tests.
    """

    def __init__(self, *words: object, first: Callable[[], object] = int, **environment: str) -> None:
        # Gone when the tests end.
        self._told = [tempfile.NamedTemporaryFile() for _ in range(2)]  # noqa: SIM115
        given = [str(word) for word in words], [file.name for file in self._told], first, environment
        self._process = _SERVER.Process(target=_become, args=given)
        self._process.start()
        # Or the tests would not end before what a failed one has left running.
        atexit.register(self.kill)
        self.pid = self._process.pid or 0

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float = 600) -> tuple[str, str]:
        """What it said and complained of, when it has ended."""
        self._process.join(timeout)
        if self.returncode is None:
            raise TimeoutError(f"process {self.pid} takes longer than {timeout:g} s")
        said, complained = (Path(file.name).read_text() for file in self._told)
        return said, complained


def _become(words: list[str], told: list[str], first: Callable[[], object], environment: dict[str, str]) -> None:
    os.environ.update(environment)
    # Or it would be the server's.
    set_start_method("fork", force=True)
    for descriptor, name in enumerate(told, start=1):
        os.dup2(os.open(name, os.O_WRONLY | os.O_APPEND), descriptor)
    first()
    if words[0].endswith(".py"):
        sys.argv = words
        sys.path.insert(0, str(Path(words[0]).parent))
        runpy.run_path(words[0], run_name="__main__")
        return
    from limbeck import cli, workers  # noqa: PLC0415 - what the new process has imported
    from limbeck.benchmark import local  # noqa: PLC0415

    for module in (workers, local):
        vars(module)["get_context"] = lambda method: get_context("fork")
    sys.exit(cli.main(words))
