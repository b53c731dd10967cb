"""`python -m service`: settings -> uvicorn; with a command, an answer in the terminal."""

import logging
import signal
import sys

import uvicorn
from pydantic import ValidationError

from service import terminal
from service.app import create_app
from service.errors import LimelightError
from service.settings import Settings


def main() -> int:
    """Serve until SIGTERM or SIGINT; requests in flight finish first. Returns the exit code."""
    try:
        settings = Settings()
        logging.basicConfig(level=settings.log_level.upper(), format="%(levelname)s %(name)s: %(message)s")
        app = create_app(settings)
    except ValidationError as error:
        for problem in error.errors():
            print(f"LIMELIGHT_{str(problem['loc'][0]).upper()}: {problem['msg']}", file=sys.stderr)
        return 2
    except LimelightError as error:
        print(f"cannot start: {error}", file=sys.stderr)
        return 1
    # uvicorn drains on SIGTERM and then raises it again, for whoever handled it before: that ends the process well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    uvicorn.run(app, host=settings.host, port=settings.port, log_config=None, access_log=False)
    return 0


if __name__ == "__main__":
    if sys.argv[1:]:
        terminal.main()
    else:
        sys.exit(main())
