import gc
import weakref

from service.memory import settle, trim


class Loop:
    """Refers to itself."""

    def __init__(self) -> None:
        self.itself = self


def test_what_refers_to_itself_is_freed_even_if_it_was_frozen() -> None:
    gone = weakref.ref(made := Loop())
    settle()
    del made
    assert gone() is not None
    settle()
    assert gone() is None
    assert gc.get_freeze_count() > 0
    gc.unfreeze()


def test_trimming_again_and_again_does_no_harm() -> None:
    for _ in range(3):
        trim()
