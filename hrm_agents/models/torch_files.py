"""What ``torch.save`` writes, read as data: a machine follows the pickle that can make plain values and nothing else.

``torch.load(weights_only=True)`` runs no foreign code either. But it calls some forty functions of torch, numpy and
Python with whatever arguments a file gives, and among them are some that set memory aside, or take for ever:
``torch.FloatTensor(10**10)``.
"""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from pickletools import genops
from typing import Any, BinaryIO

import torch

from hrm_agents.errors import shown
from hrm_agents.models.stored import LONGEST_HEAD, Block, Refused, StoredTensor, sizes, zip_blocks

_STORAGES = {
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.FloatStorage": torch.float32,
    "torch.DoubleStorage": torch.float64,
    "torch.BoolStorage": torch.bool,
    "torch.ByteStorage": torch.uint8,
    "torch.CharStorage": torch.int8,
    "torch.ShortStorage": torch.int16,
    "torch.IntStorage": torch.int32,
    "torch.LongStorage": torch.int64,
    "torch.ComplexFloatStorage": torch.complex64,
    "torch.ComplexDoubleStorage": torch.complex128,
}
_DICT = "collections.OrderedDict"
_TENSOR = "torch._utils._rebuild_tensor_v2"
_PARAMETERS = ("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state")
_KNOWN = {*_STORAGES, _DICT, _TENSOR, *_PARAMETERS}
#: How a file of torch before 1.6 begins: it is a row of pickles, of which the first holds a number.
_OLD_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
#: Steps of a pickle that are followed: a tensor takes about 25, so that they are enough for 8,000.
_MOST_STEPS = 200_000
_BYTE_ORDER = "it was saved on a machine with another byte order; load it there, and save it as .safetensors"


class RunsCode(Refused):
    """A pickle asks for a function or a class that no weights need."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"it holds more than weights: loading it in full would run code ({shown(name)[1:-1]}). It was not run; "
            "save the state_dict() alone and import that"
        )


@dataclass(frozen=True)
class _Storage:
    """A row of numbers, by the key under which the file keeps it."""

    key: str
    dtype: torch.dtype
    length: int

    @property
    def size(self) -> int:
        """Bytes."""
        return self.length * self.dtype.itemsize


@dataclass(frozen=True)
class _Name:
    """The name of a function or class, in the place of what it names."""

    name: str


def read_torch(file: BinaryIO) -> tuple[Any, dict[str, Block]]:
    """The content of a file, with a :class:`StoredTensor` for every tensor, and the blocks in which these lie.

    Raises:
        Refused: it holds more than plain values and dense tensors.
        Exception: of some other kind, where it is no file of ``torch.save``.
    """
    start = file.read(len(_OLD_MAGIC))
    if start == _OLD_MAGIC:
        return _read_old(file)
    return _read_zip(file)


def _read_zip(file: BinaryIO) -> tuple[Any, dict[str, Block]]:
    blocks = zip_blocks(file)
    folder = next(iter(blocks)).partition("/")[0]
    order = blocks.get(f"{folder}/byteorder")
    if order is not None and _text(file, order) != sys.byteorder.encode():
        raise Refused(_BYTE_ORDER)
    machine = _Machine(io.BytesIO(_text(file, blocks[f"{folder}/data.pkl"])))
    content = machine.run()
    return content, {storage.key: blocks[f"{folder}/data/{storage.key}"] for storage in machine.storages.values()}


def _read_old(file: BinaryIO) -> tuple[Any, dict[str, Block]]:
    """Behind the magic number: pickles of a version, the machine, the content and the keys; then the storages."""
    position = file.tell()
    data = io.BytesIO(file.read(LONGEST_HEAD))
    machine = _Machine(data)
    _version, system, content, keys = (machine.run() for _ in range(4))
    if system["little_endian"] is not (sys.byteorder == "little"):
        raise Refused(_BYTE_ORDER)
    blocks = {}
    position += data.tell()
    for key in keys:
        storage = machine.storages[key]
        file.seek(position)
        if int.from_bytes(file.read(8), sys.byteorder) != storage.length:
            raise ValueError("a storage is of another length")
        blocks[key] = Block(position + 8, storage.size)
        position += 8 + storage.size
    return content, blocks


def _text(file: BinaryIO, block: Block) -> bytes:
    """A short member of an archive."""
    if block.size > LONGEST_HEAD:
        raise ValueError("it is longer than what describes any network")
    return block.read(file).tobytes()


class _Machine:
    """Follows pickles of protocol 2, in which ``torch.save`` writes.

    Every value that it makes is a number, a text, None, a list, a tuple, a dict, a name, a storage or a stored tensor;
    so there is nothing that could be called. What it makes takes memory in proportion to ``data``.

    Args:
        data: pickles, one after the other.
    """

    def __init__(self, data: io.BytesIO) -> None:
        self.data = data
        self.storages: dict[str, _Storage] = {}
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        """The value of the next pickle.

        Raises:
            RunsCode: it needs something else than such values.
            Exception: of some other kind, where it is none.
        """
        self._stack, self._marks, self._memo = [], [], {}
        for number, (opcode, argument, _) in enumerate(genops(self.data)):
            if number == _MOST_STEPS:
                raise Refused("it holds more than the weights of any network")
            self._step(opcode.name, argument)
        return self._stack.pop()

    def _step(self, operation: str, argument: Any) -> None:
        stack = self._stack
        match operation:
            case "PROTO" | "STOP":
                pass
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[operation])
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT" | "BINUNICODE" | "SHORT_BINSTRING":
                stack.append(argument)
            case "EMPTY_TUPLE" | "EMPTY_LIST" | "EMPTY_DICT":
                stack.append({"EMPTY_TUPLE": (), "EMPTY_LIST": [], "EMPTY_DICT": {}}[operation])
            case "MARK":
                self._marks.append(len(stack))
            case "TUPLE":
                stack.append(tuple(self._since_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack.append(tuple(self._pop(int(operation[-1]))))
            case "APPEND" | "APPENDS":
                items = self._pop(1) if operation == "APPEND" else self._since_mark()
                self._top(list).extend(items)
            case "SETITEM" | "SETITEMS":
                items = self._pop(2) if operation == "SETITEM" else self._since_mark()
                self._set(self._top(dict), items)
            case "BINPUT" | "LONG_BINPUT":
                self._memo[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(self._memo[argument])
            case "GLOBAL":
                name = argument.replace(" ", ".")
                if name not in _KNOWN:
                    raise RunsCode(name)
                stack.append(_Name(name))
            case "BINPERSID":
                stack.append(self._storage(*self._pop(1)))
            case "REDUCE":
                called, arguments = self._pop(2)
                stack.append(_called(called, arguments))
            case "BUILD":
                # An OrderedDict has the versions of its modules beside its items.
                self._pop(1)
                self._top(dict)
            case _:
                raise Refused(
                    f"it is pickled in another way than torch.save has ({operation}); save it with torch.save"
                )

    def _pop(self, number: int) -> list[Any]:
        if len(self._stack) - (self._marks[-1] if self._marks else 0) < number:
            raise ValueError("there is nothing on the stack")
        items = self._stack[-number:]
        del self._stack[-number:]
        return items

    def _since_mark(self) -> list[Any]:
        mark = self._marks.pop()
        items = self._stack[mark:]
        del self._stack[mark:]
        return items

    def _top(self, kind: type[Any]) -> Any:
        if type(self._stack[-1]) is not kind:
            raise ValueError("something else is on the stack")
        return self._stack[-1]

    def _set(self, target: dict[Any, Any], items: list[Any]) -> None:
        for key, value in zip(items[::2], items[1::2], strict=True):
            # To look up a tuple of tuples, all of it is gone through, which takes for ever where they hold each other.
            if key is not None and not isinstance(key, str | int | float):
                raise ValueError("a key is no plain value")
            if key in target:
                raise Refused(f"it holds {shown(key)} twice")
            target[key] = value

    def _storage(self, identity: Any) -> _Storage:
        kind, name, key, _device, length, *view = identity
        if kind != "storage" or not isinstance(name, _Name) or not isinstance(key, str) or any(view):
            raise ValueError("no storage")
        (length,) = sizes([length])
        storage = _Storage(key, _STORAGES[name.name], length)
        if self.storages.setdefault(key, storage) != storage:
            raise ValueError("a storage of two kinds")
        return storage


def _called(called: Any, arguments: Any) -> Any:
    """What the few functions that weights need would return."""
    if not isinstance(called, _Name) or not isinstance(arguments, tuple):
        raise ValueError("no call")
    if called.name == _DICT and not arguments:
        return {}
    if called.name in _PARAMETERS:
        return arguments[0]
    if called.name != _TENSOR:
        raise RunsCode(called.name)
    storage, start, shape, stride, _requires_grad, _hooks, *metadata = arguments
    if not isinstance(storage, _Storage) or any(metadata):
        raise RunsCode(called.name)
    (start,) = sizes([start])
    shape, stride = sizes(shape), sizes(stride)
    if len(shape) != len(stride):
        raise ValueError("a stride for another shape")
    return StoredTensor(storage.key, storage.dtype, shape, stride, start * storage.dtype.itemsize)
