"""Imports, and what they leave."""

from limbeck.data.cohort import import_cohort
from limbeck.data.importers import detect_layout


def run(folder, out, **options):
    importer, _ = detect_layout(folder)
    scheme = options.pop("scheme", None) or importer.scheme(folder)
    return import_cohort(importer.find(folder), out, scheme=scheme, layout=importer.name, source=folder, **options)


def tree(folder):
    return {path.relative_to(folder): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
