"""`python -m service`: serve over HTTP. With a command: answer in the terminal."""

import sys

from service.server import signals

if __name__ == "__main__" and not sys.argv[1:]:
    signals.install()  # before the other imports, which take a second

from pydantic import ValidationError

from service.server import processes
from service.settings import Settings


def main() -> int:
    """Read the settings and serve until SIGTERM or SIGINT. Returns the exit code."""
    try:
        settings = Settings()
    except ValidationError as error:
        for problem in error.errors():
            print(f"LIMELIGHT_{str(problem['loc'][0]).upper()}: {problem['msg']}", file=sys.stderr)
        return 2
    return processes.run(settings)


if __name__ == "__main__":
    if sys.argv[1:]:
        from service import terminal

        terminal.main()
    else:
        sys.exit(main())
