from pathlib import Path

import pytest
import torch

from ppl_mm.data import iwslt
from ppl_mm.data.vocabulary import EOS, EXC, PAD, SPECIALS
from ppl_mm.likelihoods import Tokens


def test_pairs_are_lines_of_the_two_files(folder: Path) -> None:
    data = iwslt(folder, length=6)
    en, vi = (data.vocabularies[name] for name in ("en", "vi"))
    assert en.words == (*SPECIALS, "I", "i", "am", "&apos;m", "here", ".")
    assert len(vi) == 8
    assert en.decode(data.train["en"]) == ["I &apos;m here .", "i i i i i", "here am I <exc>"]
    assert vi.decode(data.train["vi"]) == ["Tôi ở đây .", "tôi", "tôi ở <exc> ."]
    assert data.train["vi"].tolist()[1:] == [
        [4, EOS, PAD, PAD, PAD, PAD],
        [4, 5, EXC, 7, EOS, PAD],
    ]
    assert data.train["en"][1].tolist() == 5 * [4] + [EOS]  # cut
    for held_out in (data.validation, data.test):
        assert en.decode(held_out["en"]) == ["here .", "I am"]
        assert vi.decode(held_out["vi"]) == ["đây .", "Tôi"]
    assert iwslt(folder).train["en"].shape == (3, 70)


def test_the_commonest_words_of_training(folder: Path) -> None:
    data = iwslt(folder, length=6, num_words=3)
    en, vi = (data.vocabularies[name] for name in ("en", "vi"))
    assert en.words == (*SPECIALS, "i", "I", "here")
    assert vi.words == (*SPECIALS, "tôi", "ở", ".")  # as often: in their order
    assert en.decode(data.train["en"])[0] == "I <exc> here <exc>"
    assert len(iwslt(folder, num_words=100).vocabularies["vi"]) == 8
    for wrong in ({"length": 0}, {"num_words": 0}):
        with pytest.raises(ValueError, match=r"iwslt, argument (length|num_words): .*at least 1"):
            iwslt(folder, **wrong)


def test_networks_fit_the_values(folder: Path) -> None:
    data = iwslt(folder, length=5)
    assert data.latent_dim == 100
    for modality in data.modalities:
        obs = data.test[modality.name]
        assert modality.likelihood == Tokens()
        modality.likelihood.check(modality.name, obs)
        loc, scale = modality.encoder(3)(obs)
        assert loc.shape == scale.shape == (2, 3)
        decoder = modality.decoder(3)
        assert decoder.word_dropout == 0.5
        logits = decoder(loc, obs)
        assert logits.shape == (2, 5, len(data.vocabularies[modality.name]))
        assert torch.isfinite(modality.likelihood(logits).log_prob(obs)).all()
        assert modality.features()(obs).shape == (2, 512)


def test_missing_files_are_named(folder: Path) -> None:
    for name in ("tst2012.vi", "vocab.en"):
        (folder / "iwslt" / name).unlink()
    message = r"iwslt lacks tst2012.vi, vocab.en. Download .*stanford.edu.* into iwslt/"
    with pytest.raises(FileNotFoundError, match=message):
        iwslt(folder)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "train.vi",
            "Tôi ở đây .\nđây\ntôi\n",
            r"train.en: .* each of train.vi, got 4 lines and 3",
        ),
        ("tst2013.en", "here .\nI am\nhere\n", r"tst2013.en: .* got 3 lines and 2"),
        ("tst2012.en", "", r"tst2012.en: .* got 0 lines and 2"),
        ("tst2012.en", "\n\n", r"tst2012.en: expected sentences, got none"),
        ("vocab.vi", "", r"vocab.vi: .* <unk>, <s>, </s> first .* got 0 lines, nothing first"),
        ("vocab.vi", "<unk>\n<s>\n", r"vocab.vi: .* got 2 lines, <unk>, <s> first"),
        ("vocab.en", "<unk>\n<s>\n</s>\nI\nI\n", r"vocab.en: .* none twice, got 5 lines"),
    ],
)
def test_damaged_files_are_named(folder: Path, name: str, text: str, message: str) -> None:
    (folder / "iwslt" / name).write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        iwslt(folder)


def test_lines_end_where_lines_end(folder: Path) -> None:
    # a Unicode separator inside a sentence is none of lines, and the last may lack its end
    (folder / "iwslt" / "tst2013.en").write_bytes("here\u2028.\r\nI am\xa0".encode() + b"\xff")
    data = iwslt(folder, length=5)
    assert data.vocabularies["en"].decode(data.test["en"]) == ["here .", "I am <exc>"]
