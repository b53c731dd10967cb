"""The server beats while its event loop runs, and ends in time."""

import subprocess
import sys
import threading
import time

import uvicorn

from service.server.sockets import bind
from service.server.uvicorn import CLOSE_S, Drain, Server
from tests.fakes import until


async def app(scope: object, receive: object, send: object) -> None:
    raise AssertionError("there is no request")


def test_heartbeats() -> None:
    beats: list[float] = []
    [sock] = bind(1, "127.0.0.1", 0)
    config = uvicorn.Config(app, lifespan="off", log_config=None)
    started: list[bool] = []
    server = Server(config, Drain(lambda: None, 0, 1), lambda: started.append(True), lambda: beats.append(time.time()))
    thread = threading.Thread(target=server.run, args=[[sock]])
    thread.start()
    until(lambda: len(beats) >= 3)
    server.should_exit = True
    thread.join()
    assert started == [True]
    assert 1.5 < beats[2] - beats[0] < 5
    count = len(beats)
    time.sleep(1.5)
    assert len(beats) == count


def test_the_limit_of_a_drain() -> None:
    assert Drain(lambda: None, 5, 30).limit_s == 35 + CLOSE_S


WAIT = "threading.Event().wait()"
HOLD_THE_LOCK = "re.match('(a+)+$', 'a' * 99 + 'b')"


def run(program: str) -> tuple[int, float]:
    """Return exit code and duration of a program with an exit timer."""
    imports = "import re, threading\nfrom service.server.uvicorn import ExitTimer\ntimer = ExitTimer()\nprint()\n"
    process = subprocess.Popen([sys.executable, "-c", imports + program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    start = time.monotonic()
    code = process.wait(timeout=60)
    process.stdout.close()
    return code, time.monotonic() - start


def test_the_exit_timer_ends_a_process_that_waits() -> None:
    code, duration = run(f"timer.start(0.5)\n{WAIT}")
    assert code == 0 and 0.4 < duration < 2


def test_the_earliest_end_counts() -> None:
    code, duration = run(f"timer.start(60)\ntimer.start(0.5)\ntimer.start(30)\n{WAIT}")
    assert code == 0 and duration < 2


def test_the_exit_timer_ends_a_process_whose_threads_cannot_run() -> None:
    code, duration = run(f"timer.start(0.5)\n{HOLD_THE_LOCK}")
    assert code == 1 and duration < 0.5 + CLOSE_S + 2


def test_without_a_start_nothing_ends() -> None:
    code, _ = run("import time\ntime.sleep(1)\nraise SystemExit(3)")
    assert code == 3
