"""Reader of files of ``torch.save`` that only makes plain values.

``torch.load(weights_only=True)`` runs no code of the file either. But it calls some forty functions of torch, numpy and
Python with arguments of the file, and some of these allocate any amount of memory or never return:
``torch.FloatTensor(10**10)``. ``pickle.Unpickler`` with a restricted ``find_class`` allocates a memo of the size that
the file gives, and hashes nested tuples without end.
"""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from pickletools import genops
from typing import Any, BinaryIO

import torch

from hrm_agents.errors import shown
from hrm_agents.models.stored import MAX_HEADER, Block, Refused, StoredTensor, sizes, zip_blocks

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
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
#: Start of a file of torch before 1.6, which is a sequence of pickles: the first holds a magic number.
_OLD_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
#: Maximum number of operations in a pickle. A tensor takes about 25, so that this allows 8,000.
_MAX_OPERATIONS = 200_000
_BYTE_ORDER = "it was saved on a machine with another byte order; load it there and save it as .safetensors"


@dataclass(frozen=True)
class _Storage:
    """A sequence of numbers in the file."""

    key: str
    dtype: torch.dtype
    length: int


@dataclass(frozen=True)
class _Name:
    """The name of a function or class, instead of the object."""

    name: str


def read_torch(file: BinaryIO) -> tuple[Any, dict[str, Block]]:
    """Read the content of a file, with a :class:`StoredTensor` for every tensor, and the blocks of these.

    Raises:
        Refused: it holds more than plain values and dense tensors.
        Exception: of any other class, if it is not a file of ``torch.save``.
    """
    return _read_old(file) if file.read(len(_OLD_MAGIC)) == _OLD_MAGIC else _read_zip(file)


def _read_zip(file: BinaryIO) -> tuple[Any, dict[str, Block]]:
    blocks = zip_blocks(file)
    folder = next(iter(blocks)).partition("/")[0]
    order = blocks.get(f"{folder}/byteorder")
    if order is not None and _read_short(file, order) != sys.byteorder.encode():
        raise Refused(_BYTE_ORDER)
    unpickler = _Unpickler(io.BytesIO(_read_short(file, blocks[f"{folder}/data.pkl"])))
    content = unpickler.load()
    return content, {key: blocks[f"{folder}/data/{key}"] for key in unpickler.storages}


def _read_old(file: BinaryIO) -> tuple[Any, dict[str, Block]]:
    """After the magic number: pickles of the version, the system, the content and the keys, then the storages."""
    position = file.tell()
    data = io.BytesIO(file.read(MAX_HEADER))
    unpickler = _Unpickler(data)
    _version, system, content, keys = (unpickler.load() for _ in range(4))
    if system["little_endian"] is not (sys.byteorder == "little"):
        raise Refused(_BYTE_ORDER)
    blocks = {}
    position += data.tell()
    for key in keys:
        storage = unpickler.storages[key]
        file.seek(position)
        if int.from_bytes(file.read(8), sys.byteorder) != storage.length:
            raise ValueError("a storage has another length")
        blocks[key] = Block(position + 8, storage.length * storage.dtype.itemsize)
        position += 8 + blocks[key].size
    return content, blocks


def _read_short(file: BinaryIO, block: Block) -> bytes:
    """A member of an archive, at most ``MAX_HEADER`` bytes."""
    if block.size > MAX_HEADER:
        raise ValueError("it is larger than the description of any network")
    return block.read(file).tobytes()


class _Unpickler:
    """Unpickles protocol 2, which ``torch.save`` writes, to plain values.

    These are numbers, strings, None, lists, tuples, dicts, names, storages and stored tensors, none of which can be
    called. They take memory in proportion to ``data``.

    Args:
        data: a sequence of pickles.
    """

    def __init__(self, data: io.BytesIO) -> None:
        self.data = data
        self.storages: dict[str, _Storage] = {}
        self._stack: list[Any] = []
        self._stacks: list[list[Any]] = []
        """Stacks below each mark."""
        self._memo: dict[int, Any] = {}

    def load(self) -> Any:
        """The value of the next pickle.

        Raises:
            Refused: it has other than plain values.
            Exception: of any other class, if it is not a pickle.
        """
        self._stack, self._stacks, self._memo = [], [], {}
        for number, (opcode, argument, _) in enumerate(genops(self.data)):
            if number == _MAX_OPERATIONS:
                raise Refused("it holds more than the weights of any network")
            self._apply(opcode.name, argument)
        return self._stack.pop()

    def _apply(self, operation: str, argument: Any) -> None:
        match operation:
            case "PROTO" | "STOP":
                pass
            case "MARK":
                self._stacks.append(self._stack)
                self._stack = []
            case "BINPUT" | "LONG_BINPUT":
                self._memo[argument] = self._stack[-1]
            case "APPEND" | "APPENDS":
                items = self._pop(1) if operation == "APPEND" else self._pop_mark()
                self._top(list).extend(items)
            case "SETITEM" | "SETITEMS":
                items = self._pop(2) if operation == "SETITEM" else self._pop_mark()
                _update(self._top(dict), items)
            case "BUILD":  # of an OrderedDict: the versions of its modules, which are not needed
                self._pop(1)
                self._top(dict)
            case _:
                value = self._value(operation, argument)  # which may replace the stack
                self._stack.append(value)

    def _value(self, operation: str, argument: Any) -> Any:
        """The value that an operation pushes on the stack."""
        match operation:
            case "NONE" | "NEWTRUE" | "NEWFALSE" | "EMPTY_TUPLE":
                return _CONSTANTS[operation]
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT" | "BINUNICODE" | "SHORT_BINSTRING":
                return argument
            case "EMPTY_LIST":
                return []
            case "EMPTY_DICT":
                return {}
            case "TUPLE":
                return tuple(self._pop_mark())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                return tuple(self._pop(int(operation[-1])))
            case "BINGET" | "LONG_BINGET":
                return self._memo[argument]
            case "GLOBAL":
                name = argument.replace(" ", ".")
                if name not in _KNOWN:
                    raise _runs_code(name)
                return _Name(name)
            case "BINPERSID":
                return self._storage(*self._pop(1))
            case "REDUCE":
                return _call(*self._pop(2))
        raise Refused(f"it is not pickled the way torch.save does ({operation}); save it with torch.save")

    def _pop(self, number: int) -> list[Any]:
        if len(self._stack) < number:
            raise ValueError("the stack is empty")
        items = self._stack[-number:]
        del self._stack[-number:]
        return items

    def _pop_mark(self) -> list[Any]:
        items, self._stack = self._stack, self._stacks.pop()
        return items

    def _top(self, kind: type[Any]) -> Any:
        if type(self._stack[-1]) is not kind:
            raise ValueError("the stack holds a value of another type")
        return self._stack[-1]

    def _storage(self, identity: Any) -> _Storage:
        kind, name, key, _device, length, *view = identity
        if kind != "storage" or not isinstance(name, _Name) or not isinstance(key, str) or any(view):
            raise ValueError("not a storage")
        storage = _Storage(key, _STORAGES[name.name], *sizes([length]))
        if self.storages.setdefault(key, storage) != storage:
            raise ValueError("a storage has two types")
        return storage


def _update(target: dict[Any, Any], items: list[Any]) -> None:
    for key, value in zip(items[::2], items[1::2], strict=True):
        # The hash of a tuple visits all its elements, in exponential time if tuples share elements.
        if key is not None and not isinstance(key, str | int | float):
            raise ValueError("a key is not a plain value")
        if key in target:
            raise Refused(f"it holds {shown(key)} twice")
        target[key] = value


def _call(function: Any, arguments: Any) -> Any:
    """The result of one of the functions that weights need."""
    if not isinstance(function, _Name) or not isinstance(arguments, tuple):
        raise ValueError("not a call")
    if function.name == _DICT and not arguments:
        return {}
    if function.name in _PARAMETERS:
        return arguments[0]
    if function.name != _TENSOR:
        raise _runs_code(function.name)
    storage, start, shape, stride, _requires_grad, _hooks, *metadata = arguments
    if not isinstance(storage, _Storage) or any(metadata):
        raise _runs_code(function.name)
    (start,), shape, stride = sizes([start]), sizes(shape), sizes(stride)
    if len(shape) != len(stride):
        raise ValueError("a stride has another number of axes")
    return StoredTensor(storage.key, storage.dtype, shape, stride, start * storage.dtype.itemsize)


def _runs_code(name: str) -> Refused:
    """The error for a pickle that names a function or class that weights do not need."""
    return Refused(
        f"it holds more than weights: loading it in full would run code ({shown(name)[1:-1]}). It was not run; "
        "save the state_dict() alone and import that"
    )
