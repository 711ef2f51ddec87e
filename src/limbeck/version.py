"""The package's version, in a module of its own since every floor may name it."""

__version__ = "0.1.0"
