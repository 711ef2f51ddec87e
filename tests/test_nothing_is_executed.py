"""Nothing that was received as data is executed: no source text of the package has a way to do so.

By the syntax tree, not by words: a name under another name, a call through an attribute, and a comment that only speaks
of `eval` are told apart.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[1] / "src" / "limbeck"
SOURCES = sorted(SRC.rglob("*.py"))
# Modules whose purpose is to make objects, or to run code, of what they read.
MODULES = {
    *("pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "copyreg", "jsonpickle"),
    *("runpy", "code", "codeop", "imp", "pty", "logging.config", "torch.package", "torch.hub", "torch.jit", "hydra"),
    *("zipimport", "xmlrpc", "multiprocessing.managers", "ctypes", "cffi"),
}
BUILTINS = {"eval", "exec", "compile", "__import__", "input"}
# Of a module that is otherwise used: attributes that execute.
ATTRIBUTES = {
    "torch": {"load", "jit", "hub", "package"},
    "yaml": {"load", "load_all", "unsafe_load", "full_load", "Loader", "UnsafeLoader", "FullLoader", "CLoader"},
    "os": {"system", "popen", "execv", "execve", "execvp", "spawnv", "posix_spawn"},
    "subprocess": {"getoutput", "getstatusoutput"},
    "numpy": {"loads", "DataSource"},
}
# Of jsonargparse: what takes the path of a class from a configuration.
OPEN_SETTINGS = {"add_subclass_arguments", "class_from_function", "add_lightning_class_args", "instantiate_classes"}
# Where a module is imported by a name, and why no file can say which.
IMPORTS_BY_NAME = {
    "__init__.py": "a fixed list of the package's own rooms",
    "cli.py": "COMMANDS, a dictionary in the file",
    "methods/__init__.py": "METHODS, a dictionary in the file, looked up before",
    "benchmark/ray.py": "the literal 'ray'",
}
# What a file imports that others may not, and why nothing it is given can be run by that.
IMPORTS = {
    "heap.py": ("import of ctypes", "two integers for a function of the C library that the process already holds")
}


def ways(tree: ast.AST) -> Iterator[str]:
    """Every way in which a source text could run what it was given as data."""
    names = dict(_names(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from _imports(node)
        elif isinstance(node, ast.Attribute):
            yield from _attributes(node, names)
        # A setting may be called `compile`: what is only named and never read calls nothing.
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in BUILTINS:
            yield f"line {node.lineno}: {node.id}"
        elif isinstance(node, ast.Call):
            yield from _calls(node, names)


def _names(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """What a name stands for: `np` for numpy, `load` for torch.load."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                # `import a.b` binds a.
                yield (alias.asname, alias.name) if alias.asname else (alias.name.split(".")[0],) * 2
        elif isinstance(node, ast.ImportFrom):
            yield from ((alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names)


def _imports(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    module = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
    for alias in node.names:
        whole = f"{module}{alias.name}"
        parent, _, last = whole.rpartition(".")
        prefixes = {".".join(whole.split(".")[: length + 1]) for length in range(whole.count(".") + 1)}
        if prefixes & MODULES or last in ATTRIBUTES.get(parent, ()):
            yield f"line {node.lineno}: import of {whole}"


def _attributes(node: ast.Attribute, names: dict[str, str]) -> Iterator[str]:
    owner = ast.unparse(node.value)
    first, _, rest = owner.partition(".")
    whole = names.get(first, first) + (f".{rest}" if rest else "")
    if node.attr in ATTRIBUTES.get(whole, ()) or f"{whole}.{node.attr}" in MODULES or node.attr in OPEN_SETTINGS:
        yield f"line {node.lineno}: {whole}.{node.attr}"


def _calls(node: ast.Call, names: dict[str, str]) -> Iterator[str]:
    called = ast.unparse(node.func)
    first, _, rest = called.partition(".")
    whole = names.get(first, first) + (f".{rest}" if rest else "")
    words = {word.arg: ast.unparse(word.value) for word in node.keywords}
    for word in ("allow_pickle", "shell", "weights_only"):
        if words.get(word, "False") != "False":
            yield f"line {node.lineno}: {called} with {word}"
    # The default has changed once already.
    if whole in ("numpy.load", "numpy.lib.format.read_array", "numpy.memmap.load") and "allow_pickle" not in words:
        yield f"line {node.lineno}: {called} without allow_pickle=False"
    if whole.endswith("import_module"):
        yield f"line {node.lineno}: import by name"
    owner = names.get(ast.unparse(node.args[0]), "") if called == "getattr" and len(node.args) > 1 else ""
    if owner in ATTRIBUTES:
        wanted = node.args[1]
        # A name that is written there is judged as if it stood behind a dot.
        if not isinstance(wanted, ast.Constant) or wanted.value in ATTRIBUTES[owner]:
            yield f"line {node.lineno}: getattr of {owner}"


def found_in(path: Path) -> list[str]:
    """What a file does, but for the imports that are known, by name and why."""
    name = str(path.relative_to(SRC))
    known = ("import by name",) if name in IMPORTS_BY_NAME else IMPORTS.get(name, ())[:1]
    found = ways(ast.parse(path.read_text(encoding="utf-8")))
    return [way for way in found if not any(way.endswith(allowed) for allowed in known)]


def test_no_source_can_run_what_it_reads() -> None:
    assert {str(path.relative_to(SRC)): found for path in SOURCES if (found := found_in(path))} == {}


@pytest.mark.parametrize("name", sorted(IMPORTS_BY_NAME))
def test_an_import_by_name_takes_its_name_from_the_source(name: str) -> None:
    """A literal, or a name within this package that was looked up in a closed list."""
    tree = ast.parse((SRC / name).read_text(encoding="utf-8"))
    calls = [
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and "import_module" in ast.unparse(node.func)
    ]
    assert calls
    for call in calls:
        wanted = ast.unparse(call.args[0])
        assert wanted == "'ray'" or wanted.startswith(("'limbeck.", "f'limbeck.")), wanted


FORBIDDEN = (
    "import pickle",
    "import pickle as p",
    "from pickle import loads",
    "import torch\ntorch.load('x')",
    "import torch as t\nread = t.load",
    "from torch import load as read",
    "import torch\ntorch.jit.load('x')",
    "import yaml\nyaml.load(text, Loader=yaml.SafeLoader)",
    "from yaml import UnsafeLoader",
    "import yaml as y\ny.unsafe_load(text)",
    "eval('1')",
    "run = exec",
    "compile(text, 'x', 'exec')",
    "__import__(name)",
    "import numpy as np\nnp.load('x')",
    "import numpy as np\nnp.load('x', allow_pickle=True)",
    "import numpy as np\nnp.load('x', allow_pickle=trusted)",
    "from numpy import load\nload('x')",
    "import importlib\nimportlib.import_module(name)",
    "from importlib import import_module as get\nget(name)",
    "import os\nos.system('x')",
    "import subprocess\nsubprocess.run('x', shell=True)",
    "import logging.config",
    "parser.add_subclass_arguments(kind, 'x')",
    "import torch\ngetattr(torch, name)('x')",
    "import torch\ngetattr(torch, 'load')('x')",
    "def f():\n    from marshal import loads\n",
)
ALLOWED = (
    "model.eval()",
    "import re\nre.compile('x')",
    "import yaml\nyaml.SafeLoader(text)\nyaml.safe_dump({})",
    "import numpy as np\nnp.load('x', allow_pickle=False)",
    "import torch\ntorch.compile(model)",
    "import os\ngetattr(os, 'O_BINARY', 0)",
    "from safetensors.torch import load_file",
    "# pickle.load and eval are not used\ntext = 'import pickle'",
    "subprocess.run(['x'], shell=False)",
)


@pytest.mark.parametrize("text", FORBIDDEN)
def test_the_check_sees_what_could_be_executed(text: str) -> None:
    assert list(ways(ast.parse(text)))


@pytest.mark.parametrize("text", ALLOWED)
def test_the_check_lets_pass_what_executes_nothing(text: str) -> None:
    assert list(ways(ast.parse(text))) == []
