"""The public corpora by name."""

from training.corpora.corpus import Book, Corpus, File
from training.corpora.download import prepare_multi30k, prepare_sms_spam

OPEN_LICENCE = (
    "many licences (GPL, LGPL, AGPL, CC BY-SA, MIT, Apache and others): see the list of sources in "
    "translation/OPEN.md beside the data"
)
OPEN_ORIGIN = "Human translations of 217 public repositories, each with its commit and path in translation/OPEN.md"

CORPORA: dict[str, Corpus] = {
    "sms-spam": Corpus(
        folder="classification/sms_spam",
        files={
            "train": [File("train.tsv.gz", "e961988229af1b18f9b42516405fe1bac3b0cee441dbf8bddeac1f6400eaea8b")],
            "test": [File("test.tsv.gz", "469d13c881e3814beb7df2334ea458eb3f9d7280519a922d348be064399c4748")],
        },
        licence="not stated for the corpus; the repository it is taken from is under the Apache License 2.0",
        origin="SMS Spam Collection, https://github.com/mohitgupta-omg/Kaggle-SMS-Spam-Collection-Dataset-",
        prepare=prepare_sms_spam,
        base_url="https://raw.githubusercontent.com/mohitgupta-omg/Kaggle-SMS-Spam-Collection-Dataset-/9823a7f115df",
    ),
    "imdb": Corpus(
        folder="classification/imdb",
        files={
            "train": [File("train.tsv.gz", "926fb5429733723fc15710e25ac8542c594349650bd48659068e998d60dff68e")],
            "test": [File("test.tsv.gz", "c2462b82cd1b87e37bfe4653294cc4399eb246a378b6c9825f7d952e520a04b8")],
        },
        licence="not stated; cite Maas et al. 2011",
        origin="Large Movie Review Dataset, https://www.aclweb.org/anthology/P11-1015",
        unlabelled=File("unlabeled.txt.gz", "51c50e8725b0b586b3b4dff6ab85e18ab66c5d1b7b8580be7e119a4afa6bfb3d"),
    ),
    "nsmc": Corpus(
        folder="classification/nsmc",
        files={
            "train": [File("train.tsv.gz", "7190040c6236977fbed9ca4bc9aa7e75928b1edf7b3ac63536559024b34bb522")],
            "test": [File("test.tsv.gz", "802a6f796c82d3eca93d9b73a43d934c9281112fa41fee11916aeb0c392ce85c")],
        },
        licence="CC0 1.0",
        origin="Naver sentiment movie corpus, https://github.com/e9t/nsmc",
    ),
    "steam-ko": Corpus(
        folder="classification/steam_ko",
        files={
            "train": [File("train.tsv.gz", "a055f5f969940c8d14e2036f7ba60a7ed00857ba2c872f94a0c9a96112d969a9")],
            "test": [File("test.tsv.gz", "4e3574a01aedc2b3e035cda88405476c2663e4015fbde32d9986ca6a45f0ca79")],
        },
        licence="not stated",
        origin="Korean Steam reviews, https://github.com/2021143021/steam-review-sentiment-2021143021-",
    ),
    "tatoeba-en-fr": Corpus(
        folder="translation/tatoeba_en_fr",
        files={
            "train": [File("train.tsv.gz", "0174a3a075c48ad97968ad436521982f7aa726d82f718a4bec4a7c6c77d3936c")],
            "valid": [File("valid.tsv.gz", "bd6546d431ddcb143a4a99215f1be5dfc9001f0d7e5c69df219a2f7615c407f4")],
            "test": [File("test.tsv.gz", "d8351889c8689f47a510929b914b067aad44fc69cc7bbd3872253438855eea3c")],
        },
        licence="CC BY 2.0 FR (Tatoeba, by way of manythings.org/anki)",
        origin="Tatoeba, https://tatoeba.org, packed by https://www.manythings.org/anki (2019-04-07)",
    ),
    "tatoeba-en-de": Corpus(
        folder="translation/tatoeba_en_de",
        files={
            "train": [File("train.tsv.gz", "3c583ca06afc79c97a4a639d98422499ea765fc88a70e2dd516af08c364264fa")],
            "valid": [File("valid.tsv.gz", "b27f84254118868cc5a2732c75d0e4144dc7e6b0495c9200199f306c17f9eeff")],
            "test": [File("test.tsv.gz", "c708eae787591ba9ea431252dd996b9a56e2ccb3d30cbbe7d3c10046cfb463ff")],
        },
        licence="CC BY 2.0 FR (Tatoeba, by way of manythings.org/anki)",
        origin="Tatoeba, https://tatoeba.org, packed by https://www.manythings.org/anki (2018-04-07)",
    ),
    "multi30k": Corpus(
        folder="translation/multi30k",
        files={
            "train": [File("train.tsv.gz", "5b02a1a5d508391ea4a74c2d7fa9545a459b16c9d86424203159a6e7957eb451")],
            "valid": [File("valid.tsv.gz", "5e07ca370791632ba0d202ba5dca8afff1a5db470e1726baabc45de6517fa068")],
            "test": [
                File("test_2016_flickr.tsv.gz", "e42302bf476ec3b316aee00d43b75b1a1b7a7b17c5d57a17e8b89b547d820f8b")
            ],
        },
        licence="not stated for the text; for non-commercial research and educational purposes",
        origin="Multi30k task 1, https://github.com/multi30k/dataset",
        prepare=prepare_multi30k,
        base_url="https://raw.githubusercontent.com/multi30k/dataset/a3d2e0d26b56/data/task1/raw",
    ),
    "open-en-fr": Corpus(
        folder="translation/open_en_fr",
        files={
            "train": [
                File("train_1.tsv.gz", "7e12504d5098c8f3146ff43c94512c4678595c5dd6eed0eac42fbbe2ded08d7b"),
                File("train_2.tsv.gz", "6e040b5e19967344fabc15b65a11790a6bbdc11f83d2c502282c9ef161e9c9a2"),
                File("train_3.tsv.gz", "5aceebbc08b86a997b4324b3477b5225c040172cc7bfe4c8496c1d3b09b9710c"),
            ],
            "valid": [File("valid.tsv.gz", "ceb293880aa4f5859f8974bb3e6f0090459158608e3d5b78c8d440250137faab")],
            "test": [File("test.tsv.gz", "5458ebb58de30cf8ec158fc864a172654230c405206939b2388de80c145378d4")],
        },
        licence=OPEN_LICENCE,
        origin=OPEN_ORIGIN,
    ),
    "open-en-de": Corpus(
        folder="translation/open_en_de",
        files={
            "train": [
                File("train_1.tsv.gz", "2b85bbe6b970eba6568011ff535cedca839cffe8d75743ed397c8436d7ffd55f"),
                File("train_2.tsv.gz", "c022764b8742ed3c48c8ba536cfd98f32a1ca560bde64deae2cd2918036d02b9"),
            ],
            "valid": [File("valid.tsv.gz", "d3040c2856a707d0f54ddf6e982e2dabea0957ee9b9e85c2755b7ae3a8a840e9")],
            "test": [File("test.tsv.gz", "26ef9e55de7acbc995a723ff02ce831ad890caf21e4a2095d82841a62d4e8de2")],
        },
        licence=OPEN_LICENCE,
        origin=OPEN_ORIGIN,
    ),
    "open-en-ko": Corpus(
        folder="translation/open_en_ko",
        files={
            "train": [File("train.tsv.gz", "6485ecd97fa0c3d8a57eab281bfdcec0e7ecdda861c29cddea867fcf0429572f")],
            "valid": [File("valid.tsv.gz", "ac81b81250788f50e2d2c6fa934601f1f8b0b358c1cd2416cd14e5adc6783368")],
            "test": [File("test.tsv.gz", "84e7c8c65e9a4cd793eb160550fac5defff4e67cabb9ed20c5dc548972c2686c")],
        },
        licence=OPEN_LICENCE,
        origin=OPEN_ORIGIN,
    ),
    "tatoeba-en-ko": Corpus(
        folder="translation/tatoeba_en_ko",
        files={
            "train": [File("train.tsv.gz", "dd9078562381df6da4049d30b5072e9013818f541d2e5ed6b19e168828e09e5e")],
            "valid": [File("valid.tsv.gz", "e8fbda6b4fa38f9e28f3f451b8d284dab03251c72ef8998bcece206a47271116")],
            "test": [File("test.tsv.gz", "82dc0331cb82d615c7b4dcbc1e4d7898115ac6e4857d6b22db847d930f6c1c75")],
        },
        licence="CC BY 2.0 FR (Tatoeba, by way of manythings.org/anki)",
        origin="Tatoeba, https://tatoeba.org, five packings of kor.txt by https://www.manythings.org/anki",
    ),
    "korsts-en-ko": Corpus(
        folder="translation/korsts_en_ko",
        files={
            "train": [
                File(
                    "train_machine_translated.tsv.gz",
                    "f73ac2a0e5dda03c38dd2f02cfe36d1f1252c3cb66f195b6f83db719ab442380",
                )
            ],
            "valid": [File("valid.tsv.gz", "163bb9839dab130958726ad3850c9053c26d500aa1cda49cfa7589e369631e16")],
            "test": [File("test.tsv.gz", "6df1fda66d6b7842b11d7ec6b416239a74e6fd3e8daa78c4a4910fc1a25ab66d")],
        },
        licence="CC BY-SA 4.0; single sources CC BY-SA 3.0; its training split was translated by machine",
        origin="KorSTS, https://github.com/kakaobrain/KorNLUDatasets, with https://github.com/PhilipMay/stsb-multi-mt",
    ),
    "ko-en-news": Corpus(
        folder="translation/ko_en_news",
        files={
            "valid": [File("valid.tsv.gz", "b3760e24c23177f64bfb0a539a7e5308c1d25dd089b2f711d3895f642d6fb003")],
            "test": [File("test.tsv.gz", "e89abba7f04c4782e0704042f30e16b8a0b9bf05a935a2b921b70d815bcf1436")],
        },
        licence="CC BY-SA 3.0",
        origin="Korean-English news, https://github.com/jungyeul/korean-parallel-corpora",
    ),
    "alignment-en-fr": Corpus(
        folder="translation/alignment_en_fr",
        files={
            "test": [File("hansards.tsv.gz", "94c916e4cbbb24b426ae9d85af37687e421db1461ffc5508207fd6c12b82a390")],
        },
        licence="not stated",
        origin="Canadian Hansards aligned by hand (Och and Ney), by way of https://github.com/neulab/awesome-align",
    ),
}

BOOKS: dict[str, Book] = {
    "nietzsche": Book(
        file="nietzsche.txt.gz",
        sha256="23cf69874ab69d3d256099ab530ea4be24d47d9675b673bcc67cbcd6298ec647",
        licence="not stated",
        origin="Friedrich Nietzsche in English, as in Keras's examples, "
        "https://github.com/mirashe/simple-predictive-keyboard",
        url="https://raw.githubusercontent.com/mirashe/simple-predictive-keyboard/d4cfa35dd1e0/nietzsche.txt",
        lacks="PREFACE\n",
    ),
}
