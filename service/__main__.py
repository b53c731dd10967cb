"""`python -m service`: settings -> uvicorn; with a command, an answer in the terminal."""

import logging
import signal
import sys
import threading

from pydantic import ValidationError

from service import terminal
from service.app import create_app
from service.errors import LimelightError
from service.observability import configure_logging
from service.registry import Registry
from service.server import serve
from service.settings import Settings

log = logging.getLogger(__name__)


def main() -> int:
    """Serve until SIGTERM or SIGINT; requests in flight finish first. Returns the exit code."""
    try:
        settings = Settings()
        configure_logging(settings.log_level)
        app = create_app(settings)
    except ValidationError as error:
        for problem in error.errors():
            print(f"LIMELIGHT_{str(problem['loc'][0]).upper()}: {problem['msg']}", file=sys.stderr)
        return 2
    except LimelightError as error:
        print(f"cannot start: {error}", file=sys.stderr)
        return 1
    registry: Registry = app.state.registry
    # uvicorn drains on SIGTERM and then raises it again, for whoever handled it before: that ends the process well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGHUP, lambda *_: threading.Thread(target=reload, args=[registry], daemon=True).start())
    serve(app, settings.host, settings.port, registry.drain, settings.drain_delay_s, settings.drain_timeout_s)
    return 0


def reload(registry: Registry) -> None:
    """The registry logs what it did."""
    try:
        registry.reload()
    except LimelightError as error:
        log.error("nothing is reloaded: %s", error)


if __name__ == "__main__":
    if sys.argv[1:]:
        terminal.main()
    else:
        sys.exit(main())
