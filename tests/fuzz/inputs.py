"""What a file may hold instead of what it should: strategies for hypothesis."""

import io
import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

Draw = Callable[[SearchStrategy[Any]], Any]
LENGTHS = (0, 1, 255, 2**15 - 1, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63 - 1, 2**64 - 1)
NUMBERS = (0, -1, 1, 2**31, 2**63, 10**8, 10**9, 10**30, 10**400, 0.0, 1e-320, 1e200, 1e308)
NOISE = st.binary(max_size=300)

scalars = st.none() | st.booleans() | st.integers() | st.sampled_from(NUMBERS) | st.floats() | st.text(max_size=20)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)


@st.composite
def damaged(draw: Draw, data: bytes) -> bytes:
    """A file with some bytes flipped, cut off, repeated, left out, or with another length in it."""
    changed = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        end = max(len(changed) - 1, 0)
        at = draw(st.integers(0, min(64, end)) | st.integers(0, end))  # headers more often than the rest
        n = draw(st.integers(1, 64))
        match draw(st.sampled_from(("flip", "cut", "repeat", "drop", "length", "noise"))):
            case "flip":
                changed[at : at + 1] = bytes(byte ^ draw(st.integers(1, 255)) for byte in changed[at : at + 1])
            case "cut":
                del changed[at:]
            case "repeat":
                to = draw(st.integers(0, end))
                changed[to:to] = changed[at : at + n]
            case "drop":
                del changed[at : at + n]
            case "length":
                width, order = draw(st.sampled_from((2, 4, 8))), draw(st.sampled_from(("little", "big")))
                length = draw(st.sampled_from(LENGTHS)) % 2 ** (8 * width)
                changed[at : at + width] = length.to_bytes(width, order)
            case "noise":
                changed[at : at + n] = draw(st.binary(min_size=n, max_size=n))
    return bytes(changed)


def places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in plain data with every key or index of it."""
    if isinstance(tree, dict | list):
        for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield tree, key
            yield from places(value)


@st.composite
def changed(draw: Draw, tree: Any) -> Any:
    """Plain data with some values replaced by others, of other types too, keys dropped, added or renamed."""
    tree = {"": deepcopy(tree)}
    for _ in range(draw(st.integers(1, 3))):
        container, key = draw(st.sampled_from(list(places(tree)) or [(tree, "")]))
        match draw(st.sampled_from(("replace", "replace", "drop", "add", "rename"))):
            case "drop" if container is not tree:
                del container[key]
            case "add" if isinstance(container, dict) and container is not tree:
                container[draw(st.text(max_size=8))] = draw(values)
            case "rename" if isinstance(container, dict) and container is not tree:
                container[draw(st.text(max_size=8))] = container.pop(key)
            case _:
                container[key] = draw(values)
    return tree[""]


def json_text(tree: Any) -> SearchStrategy[bytes]:
    """Changed data as JSON, any data, and JSON that is nested deeply."""
    deep = st.integers(500, 20_000).map(lambda n: b"[" * n + b"]" * n)
    return (changed(tree) | values).map(lambda value: json.dumps(value).encode()) | deep


def repacked(tree: Any, pack: Callable[[Any], bytes]) -> SearchStrategy[bytes]:
    """Files that are sound but for the plain data in them."""
    return changed(tree).map(pack)


ODD_NAMES = (
    0,
    None,
    ("a", 1),
    "",
    "x" * 5000,
    "module.",
    "encoder.7.weight",
    "encoder.0.weight.1",
    "latent_layer.weight",
)
ODD: dict[str, Callable[[torch.Tensor], Any]] = {
    "complex": lambda t: t.to(torch.complex64),
    "sparse": lambda t: t.to_sparse(),
    "expanded": lambda t: torch.zeros(1).expand(2**29),
    "expanded once more": lambda t: t.reshape(-1)[:1].expand(10**5, 10**5),
    "empty": lambda t: t.reshape(-1)[:0],
    "long and empty": lambda t: torch.zeros(10**9, 0),
    "scalar": lambda t: torch.tensor(1.0),
    "one axis": lambda t: t.flatten(),
    "six axes": lambda t: t[(None,) * (6 - t.dim())] if t.dim() < 6 else t,
    "double": lambda t: t.double(),
    "half": lambda t: t.half(),
    "whole": lambda t: t.long(),
    "logical": lambda t: t.bool(),
    "nan": lambda t: t * float("nan"),
    "meta": lambda t: t.to("meta"),
    "turned": lambda t: t.transpose(0, -1) if t.dim() > 1 else t,
    "quantised": lambda t: torch.quantize_per_tensor(t.float(), 0.1, 0, torch.qint8),
    "parameter": lambda t: torch.nn.Parameter(t.float()),
    "list": lambda t: [1, 2],
    "nothing": lambda t: None,
    "nested": lambda t: {"weight": t},
}


@st.composite
def odd_state(draw: Draw, state: dict[str, torch.Tensor]) -> bytes:
    """A .pth file with odd tensors and names in it."""
    odd: dict[Any, Any] = dict(state)
    for _ in range(draw(st.integers(1, 3))):
        name = draw(st.sampled_from(list(odd) or [""]))
        match draw(st.sampled_from(("odd", "odd", "odd", "drop", "rename", "wrap"))):
            case "odd" if name in state and odd.get(name) is state[name]:
                odd[name] = ODD[draw(st.sampled_from(list(ODD)))](state[name])
            case "drop":
                odd.pop(name, None)
            case "rename" if name in odd:
                odd[draw(st.sampled_from(ODD_NAMES))] = odd.pop(name)
            case "wrap":
                odd = {draw(st.sampled_from(("state_dict", "model", "module"))): odd}
    file = io.BytesIO()
    torch.save(odd, file)
    return file.getvalue()
