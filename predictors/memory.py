"""The memory that this process may take, without any package."""

import os
from pathlib import Path

# Folder of the control groups and file of the limit, by the controllers in /proc/self/cgroup ("": version 2).
LIMITS = {"": ("sys/fs/cgroup", "memory.max"), "memory": ("sys/fs/cgroup/memory", "memory.limit_in_bytes")}


def memory_limit(root: Path = Path("/")) -> int:
    """Return the bytes of this machine, or of the smallest control group of this process if that has fewer.

    root  folder that holds proc and sys
    """
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    try:
        groups = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # another system than Linux
        return limits[0]
    for group in groups:
        _, controllers, path = group.split(":", 2)
        if controllers not in LIMITS:
            continue
        mount, name = LIMITS[controllers]
        # A limit of a parent holds too; in a container only the mount itself may be there.
        below = Path(path.lstrip("/"))
        for folder in (below, *below.parents):
            try:
                limits.append(int((root / mount / folder / name).read_text()))
            except (OSError, ValueError):  # there is no such folder, or it says "max"
                continue
    return min(limits)
