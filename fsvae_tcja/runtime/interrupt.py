"""Signals that ask a training to end, as a wish that is granted when a step is over."""

import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

# Ctrl-C; kill, timeout and schedulers; a terminal that was closed; schedulers, some time before they kill
NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
Item = TypeVar("Item")
_END: Any = object()


class _Wish(KeyboardInterrupt):
    """Ends a wait."""


class Stop(list[int]):
    """The signals that were received; no longer empty: stop when it is convenient."""

    _waiting = False

    def receive(self, number: int, frame: Any) -> None:
        """The handler of a signal."""
        self.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if self._waiting:
            self._waiting = False
            raise _Wish

    def until(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items, until a signal: also one that comes while the next item is waited for, which may be for ever."""
        iterator = iter(items)
        while (item := self._next(iterator)) is not _END:
            yield item

    def _next(self, iterator: Iterator[Item]) -> Item:
        try:
            self._waiting = True
            item = _END if self else next(iterator, _END)
            self._waiting = False
            return item
        except _Wish:
            return _END
        finally:
            self._waiting = False


@contextmanager
def stop_signal() -> Iterator[Stop]:
    """Receive SIGINT, SIGTERM, SIGHUP (unless `nohup` ignores it) and SIGUSR1; a second Ctrl-C interrupts at once."""
    received = Stop()
    numbers = [n for n in NUMBERS if n != signal.SIGHUP or signal.getsignal(n) is not signal.SIG_IGN]
    try:
        before = {number: signal.signal(number, received.receive) for number in numbers}
    except ValueError:  # signals reach the main thread only
        yield received
        return
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
