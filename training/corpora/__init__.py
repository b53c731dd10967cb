"""Named public corpora and the user's own files -> rows.

A named corpus is in the folder `LIMELIGHT_DATA` (default `data/`): gzipped TSV files with a header line and without
quoting. A missing corpus is downloaded from its public origin and converted. It is kept only if its checksum is right.
"""

from training.corpora.catalogue import BOOKS, CORPORA
from training.corpora.columns import read_rows
from training.corpora.corpus import (
    Book,
    Corpus,
    CorpusError,
    File,
    LabelledText,
    SentencePair,
    Split,
    data_folder,
)
from training.corpora.download import is_present, prepare_multi30k, prepare_sms_spam
from training.corpora.own_data import own_data
from training.corpora.reading import label_counts, labelled_texts, running_text, sentence_pairs, unlabelled_texts

__all__ = [
    "BOOKS",
    "CORPORA",
    "Book",
    "Corpus",
    "CorpusError",
    "File",
    "LabelledText",
    "SentencePair",
    "Split",
    "data_folder",
    "is_present",
    "label_counts",
    "labelled_texts",
    "own_data",
    "prepare_multi30k",
    "prepare_sms_spam",
    "read_rows",
    "running_text",
    "sentence_pairs",
    "unlabelled_texts",
]
