"""Spoilt models: some hundreds of the thousands that `make fuzz` reads, and the judge is judged."""

from __future__ import annotations

import json
import os
import pickle
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import model_folders_judging as judging
import pytest
import settings_files
from judging import Fault
from model_folders import KINDS, Made, kind_of, make
from model_folders_judging import Ended, in_child, judge, known
from model_folders_parts import CANARY, OUTSIDE, PICKLES
from model_folders_sound import seal, sound
from swelling import touch_fresh_pages

from limbeck.errors import ModelError
from limbeck.inference.model import Model

MODELS, FILES = 2 * len(KINDS), 25


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The sound folders; a spoilt one must never change them."""
    place = tmp_path_factory.mktemp("sound")
    known(place)
    settings_files.warm(place)
    before = judging.listed(place)
    yield place
    assert judging.listed(place) == before


@pytest.mark.parametrize("number", range(MODELS), ids=lambda number: f"{number}-{kind_of(number)}")
def test_a_spoilt_model_is_refused_in_one_line_or_predicts_as_before(number: int, root: Path, tmp_path: Path) -> None:
    judge(make(number, root, tmp_path), root)


@pytest.mark.parametrize("number", range(FILES), ids=lambda number: f"{number}-{settings_files.kind_of(number)}")
def test_a_spoilt_file_of_settings_or_of_a_run_is_refused_in_one_line(number: int, root: Path, tmp_path: Path) -> None:
    settings_files.judge(number, root, tmp_path)


def test_a_number_makes_its_folder_again(root: Path, tmp_path: Path) -> None:
    for number in range(len(KINDS)):
        found = []
        for place in ("one", "other"):
            (tmp_path / place / str(number)).mkdir(parents=True)
            made = make(number, root, tmp_path / place / str(number))
            size = {str(path.relative_to(made.path)): path.lstat().st_size for path in made.path.rglob("*")}
            found.append((made.base, made.kind, made.outcome, size))
        # A pickle holds the name of the file that it would make.
        assert found[0] == found[1] or made.kind == "pickled"


def test_python_gives_the_same_refusal(root: Path, tmp_path: Path) -> None:
    number = next(number for number in range(1000) if kind_of(number) == "length")
    with pytest.raises(ModelError) as caught:
        Model.load(make(number, root, tmp_path).path)
    assert "\n" not in str(caught.value)


# --- the judge --------------------------------------------------------------------------------------------------------


def _untouched(root: Path, work: Path) -> Made:
    number = next(n for n in range(1000) if kind_of(n) == "unspoilt" and make(n, root, _new(work, n)).base == "run")
    return make(number, root, _new(work, -1))


def _new(work: Path, number: int) -> Path:
    place = work / f"n{number}"
    place.mkdir()
    return place


def _printing(line: str, code: int = 4) -> Callable[[list[str]], int]:
    def run(words: list[str]) -> int:
        os.write(2, line.encode())
        return code

    return run


def _acting(words: list[str]) -> int:
    (Path(words[1]).parent / CANARY).mkdir()
    return 4


def _writing(words: list[str]) -> int:
    (Path(words[1]) / "new").write_text("x")
    return 4


def _unpickling(words: list[str]) -> int:
    pickle.loads(pickle.dumps(Path("x")))
    return 4


def _following(words: list[str]) -> int:
    place = Path(words[1]).parent / OUTSIDE
    link = Path(words[1]) / "link"
    link.symlink_to(place / "card")
    link.read_text()
    link.unlink()
    return 4


def _dying(words: list[str]) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return 4


def _swelling(words: list[str]) -> int:
    touch_fresh_pages(judging.SLACK + 2**29)
    return 4


def _raising(words: list[str]) -> int:
    raise KeyError("subsets")


JUDGED: dict[str, Callable[[list[str]], int]] = {
    "is sound and was refused": _printing("limbeck: model: odd: expected another\n"),
    "exit code 1": _printing("limbeck: model: odd: expected another\n", code=1),
    "not one clear line": _printing("limbeck: model: odd:\nexpected another\n"),
    "Traceback": _printing("Traceback (most recent call last)\n"),
    "what would be right": _printing("limbeck: odd\n"),
    "a payload was executed": _acting,
    "files were changed": _writing,
    "pickle.find_class": _unpickling,
    "open .*link": _following,
    "died of signal": _dying,
    "MiB": _swelling,
    "KeyError": _raising,
}


@pytest.mark.parametrize("found", sorted(JUDGED))
def test_the_judge_of_models_sees_what_it_forbids(
    found: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = _untouched(root, tmp_path)
    if found != "is sound and was refused":
        made = Made(made.path, made.number, made.base, "value", made.outcome, made.given)
    (made.path.parent / OUTSIDE).mkdir()
    (made.path.parent / OUTSIDE / "card").write_text("{}")
    monkeypatch.setattr(judging, "main", JUDGED[found])
    with pytest.raises(Fault, match=found):
        judge(made, root)


def test_the_judge_of_models_sees_another_mask(root: Path, tmp_path: Path) -> None:
    made = _untouched(root, tmp_path)
    for card in made.path.rglob("checkpoint.json"):
        content = json.loads(card.read_text())
        card.unlink()
        card.write_text(json.dumps({**content, "spacing_mm": 6.0}))
    seal(made.path)
    with pytest.raises(Fault, match="another mask"):
        judge(made, root)
    refused = Made(made.path, made.number, made.base, "value", "refused", made.given)
    (tmp_path / "n-1" / "mask.nii.gz").unlink()
    (tmp_path / "n-1" / "mask.json").unlink()
    with pytest.raises(Fault, match="was used"):
        judge(refused, root)


def test_the_judge_of_models_sees_what_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "PATIENCE", 0.3)
    with pytest.raises(Fault, match="did not end"):
        in_child(lambda: time.sleep(60) or 0, tmp_path / "said.txt")


@pytest.mark.parametrize("payload", PICKLES, ids=lambda payload: payload.__name__)
def test_the_payloads_would_act_if_anybody_let_them(payload: Callable[[Path], bytes], tmp_path: Path) -> None:
    """Else their silence would prove nothing."""
    content = payload(tmp_path / CANARY)
    pickle.loads(content[content.find(pickle.dumps(None)[:2]) :])
    assert (tmp_path / CANARY).exists()


def test_the_sound_folders_are_used(root: Path, tmp_path: Path) -> None:
    for base, folder in sound(root).items():
        place = _new(tmp_path, len(base))
        made = Made(place / "model", 0, base, "unspoilt", "known", "all")
        made.path.symlink_to(folder)
        ended: Ended = judge(made, root)
        assert ended.code == 0
