"""`limbeck methods`: what can be trained."""

from __future__ import annotations

import argparse
import dataclasses
import json

from limbeck.commands.method_page import page
from limbeck.methods import METHODS


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--markdown", action="store_true", help="print a page on every method and its settings")


def run(arguments: argparse.Namespace) -> int:
    """Print the methods."""
    if arguments.json:
        entries = [{"name": name, **dataclasses.asdict(entry)} for name, entry in METHODS.items()]
        print(json.dumps(entries, indent=1))
        return 0
    if arguments.markdown:
        print(page())
        return 0
    for name, entry in METHODS.items():
        print(f"{name}\n  {entry.summary}\n  paper    {entry.paper}")
        print(f"  teacher  {entry.teacher}\n  subsets  {entry.subsets}\n  status   {entry.status}\n")
    print("limbeck train METHOD --help shows a method's settings.")
    return 0
