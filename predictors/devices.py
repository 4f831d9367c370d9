"""Resolve the device setting `auto` without importing torch."""

from pathlib import Path

DEVICES = ("auto", "cpu", "cuda")
NVIDIA_DRIVER = Path("/dev/nvidiactl")


def resolved(device: str) -> str:
    """Return "cpu" or "cuda" for a setting of auto, cpu or cuda: auto takes the GPU whose driver is there.

    Raises ValueError on another name.
    """
    if device not in DEVICES:
        raise ValueError(f"a device is auto, cpu or cuda, not {device!r}")
    if device == "auto":
        return "cuda" if NVIDIA_DRIVER.exists() else "cpu"
    return device
