"""Wrong commands and settings: exit code 2, one line that gives what would be right, and nothing is written."""

from __future__ import annotations

import pytest
from workbench import FAST, USAGE


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["trian"], ("'trian'", "did you mean 'train'?")),
        (["train"], ("needs a method", "supervised, dropout, gkd")),
        (["train", "gdk"], ("'gdk'", "did you mean 'gkd'?")),
        (["predict", "--flar", "x", "m", "-o", "y.nii"], ("'--flar'", "did you mean '--flair'?")),
        (["methods", "--jsn"], ("'--jsn'", "did you mean '--json'?")),
        (["phantom", "--out", "x"], ("--cases",)),
        (["phantom", "--cases", "none", "--out", "x"], ("--cases", "'none'", "at least 1")),
        (["phantom", "--cases", "1", "--seed", "-1", "--out", "x"], ("--seed", "'-1'", "at least 0")),
        (["phantom", "--cases", "1", "--spacing", "50", "--out", "x"], ("50", "0.5 to 6")),
        (
            ["phantom", "--cases", "1", "--layout", "nnunett", "--out", "x"],
            ("'nnunett'", "did you mean 'nnunet'?"),
        ),
        (["demo", "--width", "9", "--out", "x"], ("width", "9", "multiple of 8")),
        (["demo", "--subset", "all", "--out", "x"], ("subset all", "expected fewer")),
        (["demo", "--subset", "flare", "--out", "x"], ("'flare'", "did you mean 'flair'?")),
    ],
)
def test_a_wrong_command_is_usage(words, says, bench, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    bench.refuses(USAGE, *words, says=says)
    assert not list(tmp_path.iterdir())


SETTINGS = [
    (["--stepz", "3"], ("'stepz'", "did you mean 'steps'?")),
    (["--soft-label-weight", "1"], ("'soft_label_weight'", "supervised")),
    (["--step", "3"], ("'step'", "did you mean 'steps'?")),
    (["--steps", "many"], ("steps", "'many'", "whole number")),
    (["--steps", "1.5"], ("steps", "'1.5'", "whole number")),
    (["--steps", "-3"], ("steps", "-3", "at least 1")),
    (["--steps", "0"], ("steps", "0", "at least 1")),
    (["--save-every", "0"], ("save_every", "at least 1")),
    (["--validate-every", "-1"], ("validate_every", "-1")),
    (["--learning-rate", "fast"], ("learning_rate", "'fast'", "a number")),
    (["--learning-rate", "-1"], ("learning_rate", "-1", "above 0")),
    (["--weight-decay", "-1"], ("weight_decay", "-1")),
    (["--warmup", "-1"], ("warmup", "-1")),
    (["--clip", "-1"], ("clip", "-1")),
    (["--schedule", "cosin"], ("schedule", "'cosin'", "did you mean 'cosine'?")),
    (["--augment", "maybe"], ("augment", "'maybe'", "true or false")),
    (["--patch", "16,16,20"], ("patch", "20", "multiples of 8", "unet")),
    (["--patch", "8,8,8"], ("patch", "above 8")),
    (["--patch", "16,16"], ("patch", "three whole numbers")),
    (["--patch", "0,16,16"], ("patch", "at least 1")),
    (["--patch", "-8,16,16"], ("patch", "-8")),
    (["--patch", "cube"], ("patch", "'cube'", "three whole numbers")),
    # A first side of 16 is two voxels at the coarsest level, where torch's bf16 gradient is wrong.
    (["--patch", "16,24,24", "--precision", "bf16"], ("patch", "precision float32")),
    (["--batch", "0"], ("batch", "0", "at least 1")),
    (["--foreground", "1.5"], ("foreground", "1.5", "0 to 1")),
    (["--workers", "-1"], ("workers", "-1")),
    (["--fold", "3"], ("fold", "3", "0 to 2")),
    (["--fold", "-1"], ("fold", "-1", "0 to 2")),
    (["--folds", "1"], ("folds", "1", "at least 2")),
    (["--seed", "-1"], ("seed", "-1")),
    (["--width", "12"], ("width", "12", "multiple of 8")),
    (["--dropout", "1"], ("dropout", "1", "below 1")),
    (["--precision", "fp8"], ("precision", "'fp8'", "bf16")),
    (["--device", "abacus"], ("'abacus'", "expected auto")),
    (["surplus"], ("'surplus'",)),
    (["--subset", "flare"], ("'flare'", "did you mean 'flair'?")),
    (["--subset", "flair+t2f"], ("'flair+t2f'", "twice")),
    (["--subset", ""], ("expected flair, t1, t1ce or t2",)),
    (["--teacher", "anything"], ("supervised", "no trained teacher")),
    (["--optimiser", "sdg"], ("optimiser", "'sdg'", "did you mean 'sgd'?")),
    (["--momentum", "1"], ("momentum", "1", "below 1")),
    (["--network", "vnett"], ("network", "'vnett'", "did you mean 'vnet'?")),
    (["--network", "vnet", "--patch", "24,24,24"], ("patch", "24", "multiples of 16", "vnet")),
    (["--network", "nnunet"], ("patch", "16", "multiples of 32", "nnunet")),
]


@pytest.mark.parametrize(("words", "says"), SETTINGS, ids=" ".join)
def test_a_wrong_setting_is_usage(words, says, bench) -> None:
    good = ["train", "supervised", "--data", bench.cohort, "--subset", "flair", "--out", bench.root / "new", *FAST]
    bench.refuses(USAGE, *good, *words, says=says)
    assert not (bench.root / "new").exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("stepz: 3\n", ("'stepz'", "did you mean 'steps'?", "settings.yaml")),
        ("run:\n  seed: 1\n", ("'run'", "settings.yaml")),
        ("steps: many\n", ("steps", "'many'", "whole number")),
        ("steps: null\n", ("steps", "null", "whole number")),
        ("patch: [16, 16]\n", ("patch", "three whole numbers")),
        ("batch: 0\n", ("batch", "0", "at least 1")),
        ("steps: [\n", ("settings.yaml", "no valid YAML")),
        ("- steps\n", ("settings.yaml", "no settings")),
        ("", ("settings.yaml", "no settings")),
        ("steps: !!python/object/apply:os.getpid []\n", ("settings.yaml", "no valid YAML")),
    ],
)
def test_a_wrong_setting_in_a_file_is_usage(text, says, bench, tmp_path) -> None:
    (tmp_path / "settings.yaml").write_text(text)
    good = ["train", "supervised", "--data", bench.cohort, "--subset", "flair", "--out", bench.root / "new"]
    bench.refuses(USAGE, *good, "--config", tmp_path / "settings.yaml", says=says)


def test_a_file_of_settings_that_is_missing_is_usage(bench) -> None:
    words = ["train", "supervised", "--data", bench.cohort, "--subset", "flair", "--out", bench.root / "new"]
    bench.refuses(USAGE, *words, "--config", "nowhere.yaml", says=("nowhere.yaml", "cannot be read"))


def test_what_the_method_needs_or_cannot_have_is_usage(bench) -> None:
    data, out = ["--data", bench.cohort], ["--out", bench.root / "new"]
    flair = ["--subset", "flair"]
    bench.refuses(USAGE, "train", "supervised", says=("--data",))
    bench.refuses(USAGE, "train", "supervised", *flair, *out, says=("--data",))
    bench.refuses(USAGE, "train", "supervised", *flair, *data, says=("--out",))
    bench.refuses(USAGE, "train", "supervised", *data, *out, says=("--subset", "flair"))
    bench.refuses(USAGE, "train", "gkd", *flair, *data, *out, says=("--teacher", "supervised"))
    bench.refuses(USAGE, "train", "dropout", *flair, *data, *out, says=("dropout", "--subset", "'flair'"))
    wrong = ["--temperature", "0", "--teacher", bench.teacher]
    bench.refuses(USAGE, "train", "gkd", *flair, *data, *out, *wrong, says=("temperature", "0", "above 0"))


def test_runs_cannot_go_into_a_file(bench, tmp_path) -> None:
    (tmp_path / "file").write_text("kept")
    words = ["train", "supervised", "--data", bench.cohort, "--subset", "flair", "--out", tmp_path / "file", *FAST]
    bench.refuses(USAGE, *words, says=("file", "Not a directory"))
    assert (tmp_path / "file").read_text() == "kept"
