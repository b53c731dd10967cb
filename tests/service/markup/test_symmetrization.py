from hypothesis import given
from hypothesis import strategies as st

from service.markup.symmetrization import NEIGHBOURS, Links, grow_diag_final_and

links = st.sets(st.tuples(st.integers(0, 6), st.integers(0, 4)), max_size=15)


def by_the_paper(forward: Links, backward: Links) -> Links:
    """The algorithm as it is printed by Koehn, Axelrod et al. 2005: passes over all links until nothing changes."""
    found = forward & backward

    def is_free(link: tuple[int, int]) -> tuple[bool, bool]:
        return all(link[0] != source for source, _ in found), all(link[1] != target for _, target in found)

    changed = True
    while changed:
        changed = False
        for source, target in sorted(found):
            for rows, columns in NEIGHBOURS:
                link = (source + rows, target + columns)
                if any(is_free(link)) and link in forward | backward:
                    found.add(link)
                    changed = True
    for side in (forward, backward):
        for link in sorted(side):
            if all(is_free(link)):
                found.add(link)
    return found


@given(forward=links, backward=links)
def test_the_links_of_the_paper(forward: Links, backward: Links) -> None:
    found = grow_diag_final_and(forward, backward)
    assert forward & backward <= found <= forward | backward
    assert found == by_the_paper(forward, backward)


def test_known_links() -> None:
    diagonal = {(0, 0), (1, 1)}
    assert grow_diag_final_and(diagonal, diagonal) == diagonal
    assert grow_diag_final_and(diagonal | {(2, 1)}, diagonal) == {*diagonal, (2, 1)}  # a neighbour with a free word
    assert grow_diag_final_and(diagonal | {(0, 1)}, diagonal) == diagonal  # both words have links
    assert grow_diag_final_and(diagonal | {(5, 4)}, diagonal) == {*diagonal, (5, 4)}  # both words are free
    assert grow_diag_final_and(diagonal | {(5, 1)}, diagonal) == diagonal  # far away, and one word has a link
