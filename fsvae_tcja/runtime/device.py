"""Choosing the device."""

import torch


def resolve(device: str = "auto") -> torch.device:
    """ "auto" takes CUDA, then MPS, then the CPU; a device asked for by name must be there.

    A GPU asked for by number becomes the current one: what names no device leaves the others alone, which may be full
    or another's.

    Raises:
        ValueError: the device is unknown or absent.
    """
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return torch.device(next(name for name, here in present.items() if here))
    kind = device.split(":")[0]
    if kind not in present:
        raise ValueError(f"unknown device {device!r}: choose auto, cpu, cuda or mps")
    if not present[kind]:
        here = [name for name, ok in present.items() if ok]
        raise ValueError(
            f"device {device!r} was asked for and is not there (here: {', '.join(here)}); use --device auto"
        )
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"unknown device {device!r}: choose auto, cpu, cuda or mps") from error
    if kind == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device {device!r} was asked for; here are {torch.cuda.device_count()} CUDA devices")
    if kind == "cuda" and chosen.index is not None:
        torch.cuda.set_device(chosen)
    return chosen
