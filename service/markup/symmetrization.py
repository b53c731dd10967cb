"""Links between words from the alignments of both directions of translation.

Legend: S source words, T target words.
"""

Links = set[tuple[int, int]]
"""(source word, target word)"""

NEIGHBOURS = ((-1, 0), (0, -1), (1, 0), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1))


def grow_diag_final_and(forward: Links, backward: Links) -> Links:
    """Combine the links of two directions (Och and Ney 2003, section 4; Koehn, Och and Marcu 2003, section 3).

    The links of both directions are kept. Neighbours of a link that one direction has are added if one of their words
    has no link ("grow-diag"), and then all links of one direction whose words both have none ("final-and").

    >>> sorted(grow_diag_final_and({(0, 0), (1, 1), (2, 2)}, {(0, 0), (1, 1), (1, 2)}))
    [(0, 0), (1, 1), (1, 2), (2, 2)]
    """
    found = forward & backward
    sources, targets = {source for source, _ in found}, {target for _, target in found}

    def add(link: tuple[int, int]) -> None:
        found.add(link)
        sources.add(link[0])
        targets.add(link[1])

    either = forward | backward
    size = -1
    while size < len(found):
        size = len(found)
        for source, target in sorted(found):
            for rows, columns in NEIGHBOURS:
                link = (source + rows, target + columns)
                if link in either and (link[0] not in sources or link[1] not in targets):
                    add(link)
    for links in (forward, backward):
        for link in sorted(links):
            if link[0] not in sources and link[1] not in targets:
                add(link)
    return found
