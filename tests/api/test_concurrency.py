"""Turns: one question at a time, few that wait, and nobody for ever."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.api.limits import Turns
from app.errors import Busy


def test_questions_are_answered_one_at_a_time() -> None:
    turns, at_once, most = Turns(places=8), 0, 0

    def question() -> str:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        threading.Event().wait(0.01)
        at_once -= 1
        return "answer"

    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(turns.take, question) for _ in range(8)]
        assert {each.result() for each in answers} == {"answer"}
    assert most == 1


def test_more_than_may_wait_are_refused_at_once() -> None:
    turns, asked, may_end = Turns(places=1), threading.Event(), threading.Event()

    def question() -> None:
        asked.set()
        may_end.wait(10)

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(turns.take, question)
        assert asked.wait(10)
        with pytest.raises(Busy, match="too many"):
            turns.take(question)
        may_end.set()
        first.result()
    assert turns.take(lambda: "next") == "next"


def test_nobody_waits_for_ever() -> None:
    turns, asked, may_end = Turns(places=2, seconds=0.05), threading.Event(), threading.Event()

    def question() -> None:
        asked.set()
        may_end.wait(10)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(turns.take, question)
        assert asked.wait(10)
        with pytest.raises(Busy, match="too long"):
            turns.take(question)
        may_end.set()


def test_a_question_that_fails_gives_its_turn_back() -> None:
    turns = Turns(places=1)
    with pytest.raises(ZeroDivisionError):
        turns.take(lambda: 1 / 0)
    assert turns.take(lambda: "next") == "next"
