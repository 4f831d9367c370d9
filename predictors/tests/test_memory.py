import os

import pytest

from predictors.memory import memory_limit

MACHINE = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    ("groups", "limits", "expected"),
    [
        ("0::/site/train\n", {"site/train/memory.max": "3000000\n"}, 3_000_000),
        ("0::/site/train\n", {"site/train/memory.max": "max\n", "site/memory.max": "2000000"}, 2_000_000),
        ("0::/\n", {"memory.max": "4000000"}, 4_000_000),  # in a container
        (
            "5:cpu,cpuacct:/a\n4:memory:/docker/b\n0::/\n",
            {"memory/memory.limit_in_bytes": "5000000", "a/memory.max": "1"},
            5_000_000,
        ),
        ("4:memory:/b\n", {"memory/b/memory.limit_in_bytes": "9223372036854771712"}, MACHINE),
        ("0::/\n", {}, MACHINE),
    ],
)
def test_the_smallest_limit_of_the_control_groups_counts(tmp_path, groups, limits, expected):
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(groups)
    for name, limit in limits.items():
        file = tmp_path / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(limit)
    assert memory_limit(tmp_path) == expected


def test_without_control_groups_the_machine_counts(tmp_path):
    assert memory_limit(tmp_path) == MACHINE
