"""The papers' own results, as printed: what a measured table may be laid beside, and where that would mislead."""

from limbeck.evaluation.published.reading import MEAN, PublishedRow, PublishedTable, of, read, tables

__all__ = ["MEAN", "PublishedRow", "PublishedTable", "of", "read", "tables"]
