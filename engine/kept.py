"""What a process keeps in memory: values that never change under their keys, so that nothing is ever invalidated."""

import gc
from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

Value = TypeVar("Value")

# A full collection walks all that is kept, 0.1 s and more in which the process answers nobody, and finds nothing, as there are no
# cycles in it. So it comes a hundred times less often; what is young is collected as ever.
gc.set_threshold(*gc.get_threshold()[:2], 1_000)


class Kept(Generic[Value]):
    """The values used last, as many as there is `room` for by their weights; each weighs 1 unless `weigh` says otherwise."""

    def __init__(self, room: int, *, weigh: Callable[[Value], int] = lambda _: 1) -> None:
        self._room, self._weigh, self._free = room, weigh, room
        self._values, self._lock = OrderedDict[Hashable, Value](), Lock()

    def get(self, key: Hashable) -> Value | None:
        value = self._values.get(key)
        if value is not None:
            try:
                self._values.move_to_end(key)
            except KeyError:  # another thread has just made room
                return value
        return value

    def put(self, key: Hashable, value: Value) -> None:
        with self._lock:
            self._remove(self._values.pop(key, None))
            self._values[key] = value
            self._free -= self._weigh(value)
            while self._free < 0:
                self._remove(self._values.popitem(last=False)[1])

    def made(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value, made if need be; two threads may make it twice, which costs time and nothing else."""
        value = self.get(key)
        if value is None:
            value = make()
            self.put(key, value)
        return value

    def items(self) -> list[tuple[Hashable, Value]]:
        with self._lock:
            return list(self._values.items())

    def clear(self) -> None:
        with self._lock:
            self._values.clear()
            self._free = self._room

    def _remove(self, value: Value | None) -> None:
        if value is not None:
            self._free += self._weigh(value)
