"""Signals are noted, obeyed later, and given back to whoever had them."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

import pytest

from pvmc.vmc import interruptions
from pvmc.vmc.interruptions import IGNORABLE, STOPPING, Signals, signal_name


@pytest.fixture(autouse=True)
def _handlers_survive() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in STOPPING}
    yield
    after = {number: signal.getsignal(number) for number in STOPPING}
    for number, handler in before.items():
        signal.signal(number, handler)
    assert after == before


def send(number: int) -> None:
    """A signal to this process; its handler has run when this returns."""
    os.kill(os.getpid(), number)
    time.sleep(0.01)


@pytest.mark.parametrize("number", STOPPING)
def test_each_is_noted_and_nothing_else_happens(number: signal.Signals) -> None:
    with Signals() as heard:
        assert heard.received == 0
        send(number)
        assert heard.received == number


def test_a_warning_is_noted_and_stops_nothing() -> None:
    before = signal.getsignal(signal.SIGCONT)
    with Signals() as heard:
        assert not heard.warned
        send(signal.SIGCONT)
        assert heard.warned and heard.received == 0
    assert signal.getsignal(signal.SIGCONT) == before


@pytest.mark.parametrize("number", IGNORABLE)
def test_what_was_ignored_stays_ignored(number: signal.Signals) -> None:
    """As under nohup."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with Signals() as heard:
            send(number)
            assert heard.received == 0
    finally:
        signal.signal(number, before)


def test_the_first_one_counts() -> None:
    with Signals() as heard:
        send(signal.SIGUSR1)
        send(signal.SIGTERM)
        assert heard.received == signal.SIGUSR1


def test_a_second_interrupt_interrupts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interruptions, "ECHO_SECONDS", 0.0)
    with Signals() as heard:
        send(signal.SIGINT)
        assert heard.received == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)


def test_an_echo_of_the_first_interrupt_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interruptions, "ECHO_SECONDS", 3600.0)
    with Signals() as heard:
        send(signal.SIGINT)
        send(signal.SIGINT)
        assert heard.received == signal.SIGINT


def test_an_interrupt_after_another_signal_is_the_first_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interruptions, "ECHO_SECONDS", 0.0)
    with Signals() as heard:
        send(signal.SIGTERM)
        send(signal.SIGINT)
        assert heard.received == signal.SIGTERM


def test_handlers_come_back_after_an_error() -> None:
    called: list[int] = []

    def own(number: int, frame: FrameType | None) -> None:
        called.append(number)

    before = signal.signal(signal.SIGUSR1, own)
    try:
        with pytest.raises(RuntimeError), Signals() as heard:
            send(signal.SIGUSR1)
            raise RuntimeError
        assert heard.received == signal.SIGUSR1 and called == []
        send(signal.SIGUSR1)
        assert called == [signal.SIGUSR1]
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_an_ignored_interrupt_stays_ignored_and_others_are_heard() -> None:
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGUSR1)}
    try:
        with Signals() as heard:
            send(signal.SIGINT)
            assert heard.received == 0
            send(signal.SIGUSR1)
            assert heard.received == signal.SIGUSR1
        assert signal.getsignal(signal.SIGUSR1) == signal.SIG_IGN
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_outside_the_main_thread_nothing_is_installed() -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen: list[object] = []

    def work() -> None:
        with Signals() as heard:
            seen.extend([heard.received, signal.getsignal(signal.SIGTERM)])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [0, before]


def test_names() -> None:
    assert signal_name(signal.SIGTERM) == "SIGTERM"
    assert signal_name(63) == "signal 63"
