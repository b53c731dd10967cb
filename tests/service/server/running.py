"""Runs the service in separate processes."""

import json
import os
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

WIND = ("/classify", "POST", '{"text": "wind"}')


def supervised(**times: float) -> str:
    """Return a program that runs the service with other times of its supervisor."""
    changes = "".join(f"supervisor.{name} = {value}\n" for name, value in times.items())
    main = "import sys\nfrom service.__main__ import main\nif __name__ == '__main__':\n    sys.exit(main())\n"
    return f"from service.server import supervisor\n{changes}{main}"


def start(models: Path, program: str | None = None, **settings: str) -> subprocess.Popen[str]:
    """Start the service, or a program that starts it, with these settings."""
    environment = {"MODELS": str(models), "PORT": "0", "DEVICE": "cpu", "THREADS": "1", **settings}
    return subprocess.Popen(
        [sys.executable, *(("-m", "service") if program is None else ("-c", program))],
        env={**os.environ, **{f"LIMELIGHT_{name}": value for name, value in environment.items()}},
        cwd=Path(__file__).parents[3],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a process group, as in a terminal
    )


class Running:
    """The service, when all of its processes answer."""

    def __init__(self, models: Path, program: str | None = None, **settings: str):
        self.process = start(models, program, **settings)
        assert self.process.stderr is not None
        self.log = self.process.stderr
        self.lines: list[dict[str, Any]] = []
        self.count = int(settings.get("PROCESSES", "1"))
        bundles = len(list(models.glob("*/*/bundle.json")))
        expected = {"startup complete": self.count, "is ready": self.count * bundles, "running on http": 1}
        while any(self.count_lines(text) < count for text, count in expected.items()):
            self.wait_for("")
        [self.address] = [
            line["message"].split("http://")[1].split()[0]
            for line in self.lines
            if "running on http" in line["message"]
        ]

    def count_lines(self, text: str) -> int:
        """Count the log lines with this text."""
        return sum(text in line["message"] for line in self.lines)

    def wait_for(self, text: str) -> dict[str, Any]:
        """Read the log up to a line with this text."""
        for line in map(json.loads, self.log):
            self.lines.append(line)
            if text in line["message"]:
                return self.lines[-1]
        raise AssertionError(f"the service ended without {text!r} in its log")

    def pids(self) -> list[int]:
        """Return the ids of the serving processes, in the order of their start."""
        begun = [line["message"] for line in self.lines if "Started server process" in line["message"]]
        return [int(message.split("[")[1].rstrip("]")) for message in begun]

    def request(self, path: str, method: str = "GET", body: str | None = None) -> tuple[int, Any]:
        """Send a request on a new connection."""
        connection = HTTPConnection(self.address, timeout=30)
        connection.request(method, path, body)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, json.loads(content) if "json" in answer.headers["content-type"] else content.decode()

    def end(self) -> str:
        """Wait for a clean exit and return the rest of the log."""
        with self.process:
            rest = self.log.read()
        assert self.process.returncode == 0, rest
        assert "Traceback" not in rest, rest
        return rest
