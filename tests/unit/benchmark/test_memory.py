from __future__ import annotations

from limbeck.benchmark.memory import available_mib


def test_the_lesser_of_machine_and_container_counts(tmp_path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 9 kB\nMemAvailable:    2097152 kB\n")
    assert available_mib(meminfo, tmp_path) == 2048
    for name, text in (("max", "1073741824"), ("current", "805306368"), ("stat", "anon 5\ninactive_file 268435456\n")):
        (tmp_path / f"memory.{name}").write_text(text)
    # A quarter of a GiB is left, and another quarter holds files that were read.
    assert available_mib(meminfo, tmp_path) == 512
    (tmp_path / "memory.max").write_text("max")
    assert available_mib(meminfo, tmp_path) == 2048


def test_a_system_that_does_not_tell_sets_no_limit(tmp_path) -> None:
    assert available_mib(tmp_path / "none", tmp_path) == float("inf")
