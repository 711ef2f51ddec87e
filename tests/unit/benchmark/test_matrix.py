from __future__ import annotations

from pathlib import Path

import pytest

from limbeck.anatomy import Subset
from limbeck.benchmark.matrix import Matrix, Phantoms, read
from limbeck.errors import UsageError
from limbeck.evaluation.protocol import find

LEAST = "methods: [supervised]\n"


def of(tmp_path: Path, text: str) -> Matrix:
    path = tmp_path / "matrix.yaml"
    path.write_text(text)
    return read(path)


def test_the_least_matrix_is_every_subset_of_one_fold_and_seed_by_the_strict_protocol(tmp_path) -> None:
    matrix = of(tmp_path, LEAST)
    assert (matrix.methods, matrix.folds, matrix.seeds) == (("supervised",), (0,), (0,))
    assert matrix.subsets == Subset.every()
    assert matrix.phantoms is None
    strict = find("strict")
    assert (matrix.scoring.protocol, matrix.scoring.metrics) == (strict.id, strict.metrics)


def test_every_key_is_read(tmp_path) -> None:
    (tmp_path / "recipe.yaml").write_text("steps: 9\n")
    matrix = of(
        tmp_path,
        "phantoms: {cases: 6, spacing: 6, seed: 2}\nrecipe: recipe.yaml\nmethods: [gkd, dropout]\n"
        "subsets: [t1ce, t2f+t1]\nfolds: [1, 0]\nseeds: [3]\nsettings: {width: 8, patch: [16, 16, 32], augment: no}\n"
        "method_settings: {gkd: {width: 16}}\nmetrics: [dice]\nprotocol: strict\nprocessed: true\n",
    )
    assert matrix.phantoms == Phantoms(6, 6.0, 2)
    assert matrix.subsets == (Subset.parse("t1ce"), Subset.parse("flair+t1"))
    assert (matrix.folds, matrix.seeds, matrix.scoring.metrics, matrix.scoring.processed) == (
        (1, 0),
        (3,),
        ("dice",),
        True,
    )
    given = ["--config", str(tmp_path / "recipe.yaml"), "--width=8", "--patch=16,16,32", "--augment=false"]
    assert matrix.words("dropout") == given
    assert matrix.words("gkd") == [*given[:2], "--width=16", *given[3:]]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds no keys"),
        ("[1]", "holds no keys"),
        ("methods: [", "no valid YAML"),
        ("subsets: all", "methods is missing"),
        ("methods: []", "methods is []"),
        ("methods: gkd", "methods is 'gkd'"),
        ("methods: [gdk]", "did you mean 'gkd'?"),
        ("methods: [7]", "found 7: expected a name"),
        ("methods: [gkd, gkd]", "methods names gkd twice"),
        (LEAST + "subset: all", "unknown key 'subset'; did you mean 'subsets'?"),
        (LEAST + "subsets: [flare]", "'flare'"),
        (LEAST + "subsets: [t1, t1n]", "subsets names t1 twice"),
        (LEAST + "subsets: flair", "subsets is 'flair'"),
        (LEAST + "folds: 2", "folds is 2: expected a list"),
        (LEAST + "folds: [-1]", "found -1"),
        (LEAST + "folds: [true]", "found True"),
        (LEAST + "seeds: [one]", "found 'one'"),
        (LEAST + "recipe: none.yaml", "none.yaml is no file"),
        (LEAST + "settings: [steps]", "settings is ['steps']"),
        (LEAST + "settings: {fold: 1}", "as a list under folds"),
        (LEAST + "settings: {steps: {a: 1}}", "steps is {'a': 1}"),
        (LEAST + "settings: {steps: }", "steps is None"),
        (LEAST + "method_settings: {rirm: {}}", "did you mean 'rirn'?"),
        (LEAST + "method_settings: [gkd]", "method_settings is ['gkd']"),
        (LEAST + "method_settings: {gkd: {seed: 1}}", "method_settings of gkd names 'seed'"),
        (LEAST + "metrics: [dise]", "did you mean 'dice'?"),
        (LEAST + "protocol: strickt", "'strickt'"),
        (LEAST + "processed: 1", "processed is 1"),
        (LEAST + "phantoms: 6", "phantoms is 6"),
        (LEAST + "phantoms: {cases: 6, size: 1}", "unknown key 'size'"),
        (LEAST + "phantoms: {cases: many}", "found 'many'"),
        (LEAST + "phantoms: {cases: 6, spacing: two}", "spacing is 'two'"),
    ],
)
def test_a_wrong_matrix_is_refused_in_one_line_that_names_the_file(text, says, tmp_path) -> None:
    with pytest.raises(UsageError) as caught:
        of(tmp_path, text)
    assert "matrix.yaml" in str(caught.value) and says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_a_file_that_is_missing_or_no_text_is_refused(content, tmp_path) -> None:
    path = tmp_path / "matrix.yaml"
    if content:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=r"matrix\.yaml cannot be read"):
        read(path)
