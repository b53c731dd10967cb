"""`python -m service`: settings -> the processes that serve; with a command, an answer in the terminal."""

import sys

from pydantic import ValidationError

from service import terminal
from service.server import processes
from service.settings import Settings


def main() -> int:
    """Serve until SIGTERM or SIGINT; requests in flight finish first. Returns the exit code."""
    try:
        settings = Settings()
    except ValidationError as error:
        for problem in error.errors():
            print(f"LIMELIGHT_{str(problem['loc'][0]).upper()}: {problem['msg']}", file=sys.stderr)
        return 2
    return processes.run(settings)


if __name__ == "__main__":
    if sys.argv[1:]:
        terminal.main()
    else:
        sys.exit(main())
