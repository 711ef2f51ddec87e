"""Whatever lies under a name is read as a file or refused in one line; nothing waits, swells or is read unchecked."""

from __future__ import annotations

import gzip
import os
import socket
import tempfile
import threading
import tracemalloc
import zlib
from pathlib import Path

import pytest

from limbeck.data import content as content_of
from limbeck.data.content import opened
from limbeck.data.source import Source
from limbeck.data.volume import read_grid, read_labels, read_volume
from limbeck.errors import DataError


@pytest.fixture
def image(tmp_path, phantoms):
    return phantoms.save(tmp_path / "scan.nii.gz", phantoms.head()[0][0])


def refused(path: Path, within: float = 10) -> str:
    """The line of every reader, each on a thread of its own, so that waiting for ever is seen."""
    lines: set[str] = set()

    def read() -> None:
        for reader in (read_volume, read_grid, lambda source: read_labels(source, "brats2018")):
            with pytest.raises(DataError) as caught:
                reader(Source(path))
            lines.add(str(caught.value))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(within)
    assert not thread.is_alive(), "it waits"
    (line,) = lines
    assert "\n" not in line and line.count(": ") >= 2
    return line


def test_what_is_no_regular_file_is_refused_at_once(tmp_path) -> None:
    fifo, folder, zero = tmp_path / "fifo.nii", tmp_path / "folder.nii", tmp_path / "zero.nii.gz"
    os.mkfifo(fifo)
    folder.mkdir()
    zero.symlink_to("/dev/zero")
    for path in (fifo, zero):
        line = refused(path)
        assert str(path) in line and "no regular file" in line
    with pytest.raises(DataError, match="no regular file"), opened(folder, packed=False):
        pass
    # A folder may hold a DICOM series.
    assert "DICOM" in refused(folder)


def test_a_socket_is_refused(tmp_path) -> None:
    path = tmp_path / "socket.nii"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        assert "cannot be opened" in refused(path)


def test_links_are_followed_and_broken_ones_named(image, tmp_path) -> None:
    link, dangling, loop = tmp_path / "link.nii.gz", tmp_path / "dangling.nii.gz", tmp_path / "loop.nii.gz"
    link.symlink_to(image)
    dangling.symlink_to(tmp_path / "gone.nii.gz")
    loop.symlink_to(loop)
    assert (read_volume(Source(link))[0] == read_volume(Source(image))[0]).all()
    assert "no such file" in refused(dangling)
    assert "cannot be opened" in refused(loop)


def test_a_name_that_no_disk_can_hold_is_refused(tmp_path) -> None:
    assert "cannot be opened" in refused(tmp_path / ("a" * 300 + ".nii"))
    assert "nul\\x00.nii: cannot be opened" in refused(tmp_path / "nul\0.nii")
    assert "no such file" in refused(tmp_path / "scan.nii" / "scan.nii")


@pytest.mark.parametrize("name", ["two words", "Größe", "脳", "e\u0301", "\udcff", "--help", "$(x) `y` %s {z}"])
def test_any_name_is_read_and_named(name, image, tmp_path) -> None:
    path = tmp_path / f"{name}.nii.gz"
    path.write_bytes(image.read_bytes())
    read_volume(Source(path))
    path.write_bytes(image.read_bytes()[:60])
    assert name.replace("\udcff", "\\udcff") in refused(path)


def test_a_line_break_in_a_name_does_not_break_the_line(image, tmp_path) -> None:
    path = tmp_path / "one\ntwo\u2028three\x1b[31m.nii.gz"
    path.write_bytes(image.read_bytes()[:60])
    line = refused(path)
    assert "one\\ntwo\\u2028three\\x1b[31m" in line and "\x1b" not in line


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs the owners of Unix")
def test_what_may_not_be_read_is_refused(phantoms) -> None:
    with tempfile.TemporaryDirectory() as folder:
        inner = Path(folder) / "inner"
        image = phantoms.save(inner / "scan.nii.gz", phantoms.head()[0][0])
        Path(folder).chmod(0o755)
        owner = os.geteuid()
        try:
            # Nothing is forbidden to root, so it is nobody for a moment.
            for path, mode in ((image, 0), (inner, 0)):
                path.chmod(mode)
                os.seteuid(65534 if owner == 0 else owner)
                with pytest.raises(DataError, match=r"cannot be opened \(Permission denied\): check its name and its"):
                    read_volume(Source(image))
                os.seteuid(owner)
        finally:
            os.seteuid(owner)
            inner.chmod(0o755)


def test_a_disk_that_fails_is_said(image, monkeypatch) -> None:
    class Failing:
        def __init__(self, stream) -> None:
            self.fileno = stream.fileno

        def read(self, size: int) -> bytes:
            raise OSError(5, "Input/output error")

    begin = content_of.Content.__init__
    monkeypatch.setattr(
        content_of.Content, "__init__", lambda self, name, stream, packed: begin(self, name, Failing(stream), packed)
    )
    assert "cannot be read (Input/output error)" in refused(image)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_file_that_is_replaced_while_it_is_read_is_the_one_that_was_checked(suffix, tmp_path, phantoms) -> None:
    images = phantoms.head()[0]
    path = phantoms.save(tmp_path / f"scan{suffix}", images[0])
    with opened(path, packed=suffix == ".nii.gz") as content:
        first = content.read(348)
        phantoms.save(tmp_path / f"other{suffix}", images[1][:10]).replace(path)
        rest = content.read(4 + images[0].nbytes)
    assert bytes(first + rest)[352:] == images[0].tobytes(order="F")


def test_a_file_that_is_cut_while_it_is_read_is_truncated(tmp_path, phantoms) -> None:
    path = phantoms.save(tmp_path / "scan.nii", phantoms.head((60, 70, 60))[0][0])
    with opened(path, packed=False) as content:
        content.read(348)
        os.truncate(path, 10000)
        with pytest.raises(DataError, match="truncated"):
            content.read(200000)


def test_memory_is_taken_for_what_is_there_not_for_what_is_declared(tmp_path) -> None:
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(bytes(2**24)))
    tracemalloc.start()
    with opened(path, packed=True) as content, pytest.raises(DataError, match=r"truncated: \d+ of 17179869184 bytes"):
        content.read(2**34)
    assert tracemalloc.get_traced_memory()[1] < 2**26
    tracemalloc.stop()


def test_a_checksum_is_compared_though_more_follows_than_is_wanted(tmp_path) -> None:
    path = tmp_path / "scan.gz"
    data = bytearray(gzip.compress(bytes(range(256)) * 20))
    data[-5] ^= 1
    path.write_bytes(data)
    with opened(path, packed=True) as content:
        content.read(5000)
        with pytest.raises(DataError, match="damaged gzip"):
            content.surplus(1000)


def test_the_rest_is_counted_up_to_a_limit(tmp_path) -> None:
    for packed in (False, True):
        path = tmp_path / "scan"
        path.write_bytes(gzip.compress(b"abcdefgh") if packed else b"abcdefgh")
        for most, left in ((3, 3), (100, 6)):
            with opened(path, packed) as content:
                content.skip(2)
                assert content.surplus(most) == left


def test_members_are_one_stream_and_what_is_no_gzip_ends_it(tmp_path) -> None:
    path = tmp_path / "scan.gz"
    path.write_bytes(gzip.compress(b"ab") + gzip.compress(b"") + gzip.compress(b"cd") + bytes(3) + gzip.compress(b"e"))
    with opened(path, packed=True) as content:
        assert content.read(4) == b"abcd"
        assert content.surplus(10) == 0


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", r"scan\.nii\.gz: empty, not one byte: copy"),
        (b"no scan at all", r"no gzip, whatever its name says: copy"),
        ((348).to_bytes(4, "little") + bytes(400), r"no gzip, whatever its name says: take \.gz off"),
        ((540).to_bytes(4, "big") + bytes(600), r"no gzip, whatever its name says: take \.gz off"),
    ],
)
def test_what_is_no_gzip_has_the_remedy_of_what_it_is(content, says, tmp_path) -> None:
    path = tmp_path / "scan.nii.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=says):
        read_volume(Source(path))


def test_a_chain_of_tiny_members_is_refused_before_it_takes_long(tmp_path) -> None:
    path = tmp_path / "scan.nii.gz"
    path.write_bytes(gzip.compress(b"", mtime=0) * 20000)
    assert "tiny gzip members" in refused(path, within=5)


def test_what_zlib_holds_back_is_not_lost(tmp_path) -> None:
    # Packed so well that the whole file goes into zlib before a hundredth of it has come out.
    raw = bytes(2**22) + b"end"
    path = tmp_path / "scan.gz"
    path.write_bytes(gzip.compress(raw, 9))
    with opened(path, packed=True) as content:
        taken = b"".join(bytes(content.read(size)) for size in (1, 1000, 2**20, 2**22 + 3 - 1001 - 2**20))
        assert zlib.crc32(taken) == zlib.crc32(raw)
        assert content.surplus(1) == 0
