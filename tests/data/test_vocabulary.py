import pickle

import pytest
import torch

from ppl_mm.data import Vocabulary
from ppl_mm.data.vocabulary import EOS, EXC, PAD, SPECIALS, split_words


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("The RED bird.", ["the", "red", "bird", "."]),
        (
            "black-and-white; well,  3 toes\t(two)",
            ["black-and-white", ";", "well", ",", "3", "toes", "(", "two", ")"],
        ),
        ("the bird's bill", ["the", "bird", "'s", "bill"]),
        ("caf\u00e9 \ufffd", ["café", "\ufffd"]),
        ("<eos>", ["<", "eos", ">"]),  # no text makes a special symbol
        (" ", []),
    ],
)
def test_words(caption: str, words: list[str]) -> None:
    assert split_words(caption) == words


def test_words_that_occur_more_than_three_times() -> None:
    captions = ["b a a", "B. a", "b. b.", "c c c"]
    assert Vocabulary.of(captions).words == (*SPECIALS, "b")  # a and . come 3 times
    assert Vocabulary.of([*captions, "c. a"]).words == (*SPECIALS, "b", "a", ".", "c")
    assert len(Vocabulary.of([])) == 3


def test_symbols_of_captions() -> None:
    vocabulary = Vocabulary((*SPECIALS, "a", "b"))
    tokens = vocabulary.encode(["a B", "", "a b a b", "a b a b a b", "x a"], length=5)
    assert tokens.dtype == torch.int64
    assert tokens.tolist() == [
        [3, 4, EOS, PAD, PAD],
        [EOS, PAD, PAD, PAD, PAD],
        [3, 4, 3, 4, EOS],
        [3, 4, 3, 4, EOS],  # cut
        [EXC, 3, EOS, PAD, PAD],
    ]
    assert vocabulary.encode(40 * ["a"]).shape == (40, 32)
    assert vocabulary.encode([40 * "a "])[0].tolist() == 31 * [3] + [EOS]


def test_symbols_of_words_as_they_are() -> None:
    vocabulary = Vocabulary((*SPECIALS, "It", "&apos;s"))
    tokens = vocabulary.encode_words([["It", "&apos;s", "it"], [], 9 * ["It"]], length=4)
    assert tokens.tolist() == [[3, 4, EXC, EOS], [EOS, PAD, PAD, PAD], [3, 3, 3, EOS]]


def test_words_of_symbols() -> None:
    vocabulary = Vocabulary((*SPECIALS, "a", "b"))
    tokens = torch.tensor([[3, 4, EOS, 3], [EOS, 1, 1, 1], [4, 4, 4, 4], [0, 1, 3, EOS]])
    assert vocabulary.decode(tokens) == ["a b", "", "b b b b", "<exc> <pad> a"]
    assert vocabulary.decode(vocabulary.encode(["b a"])) == ["b a"]


def test_words_are_checked() -> None:
    for words in (("a", "b", "c", "d"), (*SPECIALS, "a", "a"), SPECIALS[:2]):
        with pytest.raises(ValueError, match="expected the words <exc>, <pad>, <eos> first"):
            Vocabulary(words)


def test_equality_and_copies() -> None:
    vocabulary = Vocabulary((*SPECIALS, "a"))
    copy = pickle.loads(pickle.dumps(vocabulary))
    assert copy == vocabulary
    assert hash(copy) == hash(vocabulary)
    assert copy.encode(["a"])[0, 0] == 3
    assert vocabulary != Vocabulary((*SPECIALS, "b"))
