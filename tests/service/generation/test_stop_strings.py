from service.generation.stop_strings import StopDetector, find_stop, safe_length


def test_find_stop() -> None:
    assert find_stop("one. two. three", [". t", " three"]) == 3
    assert find_stop("one", []) == 3


def test_safe_length() -> None:
    assert safe_length("one two", ["two three"]) == 4
    assert safe_length("one two", ["x", "o"]) == 7
    assert safe_length("aab", ["aabaac"]) == 0


def test_a_stop_string_across_tokens_is_detected() -> None:
    detector = StopDetector(["cd", "xyz"], lambda token_id: ["ab", "c", "d", "e"][token_id])
    assert [detector(token_id) for token_id in (0, 1, 3, 1, 2, 3)] == [False, False, False, False, True, True]
