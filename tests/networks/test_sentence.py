import pytest
import torch

from ppl_mm.data.vocabulary import EOS, EXC, PAD
from ppl_mm.networks import SentenceDecoder, SentenceEncoder, sentence

SIZES = {"vocab_size": 5, "embedding": 4, "hidden": 6}
EVERY = torch.cartesian_prod(*[torch.arange(5)] * 4)  # (5^4, 4)
SENTENCES = torch.tensor([[3, 4, 3, EOS], [EOS, PAD, PAD, PAD], [EXC, 4, EOS, PAD]])


def decoder_with(word_dropout=0.0, length=4):
    torch.manual_seed(1)
    decoder = SentenceDecoder(3, length=length, word_dropout=word_dropout, **SIZES)
    with torch.no_grad():  # far from uniform
        decoder.output.weight.mul_(4)
    return decoder.double().eval()


def log_prob(decoder, z, sentences):
    logits = decoder(z.expand(len(sentences), -1), sentences)
    return torch.distributions.Categorical(logits=logits).log_prob(sentences).sum(-1)


def test_symbols_are_those_of_vocabularies():
    assert (sentence._UNKNOWN, sentence._PAD, sentence._END) == (EXC, PAD, EOS)


def test_encoder_is_its_formula():
    encoder = SentenceEncoder(3, length=4, **SIZES).double()
    trunk = encoder.features
    loc, scale = encoder(SENTENCES)
    for row, n in enumerate((4, 1, 3)):
        h, c = torch.zeros(2, 1, 6, dtype=torch.float64)
        for symbol in SENTENCES[row, :n]:
            h, c = torch._VF.lstm_cell(
                trunk.embedding(symbol)[None], (h, c), *trunk.lstm.all_weights[0]
            )
        raw = encoder.head(h[0])
        torch.testing.assert_close(loc[row], raw[:3], atol=1e-14, rtol=0)
        torch.testing.assert_close(scale[row], (raw[3:] / 2).exp(), atol=1e-14, rtol=0)


def test_decoder_is_its_formula():
    decoder, z = decoder_with(), torch.randn(3, 3, dtype=torch.float64)
    logits = decoder(z, SENTENCES)
    h, c = decoder.initial(z).chunk(2, dim=-1)
    symbols = torch.full((3,), 5)
    for t in range(4):
        x = torch.cat([decoder.embedding(symbols), z], dim=-1)
        h, c = torch._VF.lstm_cell(x, (h, c), *decoder.lstm.all_weights[0])
        expected = decoder.output(h)
        expected[:, PAD] = -torch.inf
        going = (SENTENCES[:, :t] != EOS).all(1)
        torch.testing.assert_close(logits[going, t], expected[going], atol=1e-12, rtol=0)
        only = logits[~going, t].softmax(-1)
        assert torch.equal(only, torch.eye(5, dtype=torch.float64)[PAD].expand_as(only))
        symbols = SENTENCES[:, t]


def test_probabilities_of_all_sequences_sum_to_one():
    log_p = log_prob(decoder_with(), torch.randn(3, dtype=torch.float64), EVERY)
    torch.testing.assert_close(log_p.logsumexp(0), log_p.new_zeros(()), atol=1e-12, rtol=0)
    first = (EVERY == EOS).int().argmax(1).masked_fill(~(EVERY == EOS).any(1), 4)
    after = torch.arange(4) > first[:, None]
    proper = ((EVERY == PAD) == after).all(1)
    assert torch.equal(log_p.isfinite(), proper)
    assert proper.sum() == 1 + 3 + 9 + 27 + 81  # an end at any place, or none


def test_padding_changes_nothing():
    long = torch.nn.functional.pad(SENTENCES, (0, 3), value=PAD)
    z = torch.randn(3, 3, dtype=torch.float64)
    short = log_prob(decoder_with(), z, SENTENCES)
    torch.testing.assert_close(log_prob(decoder_with(length=7), z, long), short, atol=0, rtol=0)
    encoders = [SentenceEncoder(3, length=length, **SIZES).double() for length in (4, 7)]
    encoders[1].load_state_dict(encoders[0].state_dict())
    for a, b in zip(encoders[0](SENTENCES), encoders[1](long), strict=True):
        torch.testing.assert_close(a, b, atol=1e-15, rtol=0)


def test_words_are_forgotten_in_training_alone():
    z = torch.randn(3, dtype=torch.float64)
    never, always = decoder_with(), decoder_with(word_dropout=1.0)
    words = torch.tensor([[3, 4, 3, 4]])
    assert torch.equal(log_prob(always, z, words), log_prob(never, z, words))
    always.train()
    unknown = never(z[None], torch.full((1, 4), EXC))  # the start is read as it is
    assert torch.equal(always(z[None], words), unknown)
    half = decoder_with(word_dropout=0.5).train()
    read, whole = half(z.expand(4000, -1), words.expand(4000, -1)), never(z[None], words)
    differs = ((read.softmax(-1) - whole.softmax(-1)).abs() > 1e-9).any(-1).double().mean(0)
    expected = 1 - 0.5 ** torch.arange(4.0)  # some word before t is forgotten
    error = (expected * (1 - expected) / 4000).sqrt()
    assert ((differs - expected).abs() <= 5 * error).all()


def test_draws_have_the_probabilities():
    decoder, z = decoder_with(length=2), torch.randn(3, dtype=torch.float64)
    every = torch.cartesian_prod(*[torch.arange(5)] * 2)
    p = log_prob(decoder, z, every).exp()
    torch.manual_seed(0)
    draws = decoder.sample(z.expand(20_000, -1))
    found = torch.bincount(5 * draws[:, 0] + draws[:, 1], minlength=25) / 20_000
    assert p[p > 0].min() * 20_000 > 10  # enough of each for its error to be nearly Normal
    assert ((found - p).abs() <= 5 * (p * (1 - p) / 20_000).sqrt()).all()


def test_without_sentences_the_likeliest_symbols_are_read():
    decoder, z = decoder_with(), torch.randn(8, 3, dtype=torch.float64)
    greedy = decoder(z)
    torch.testing.assert_close(greedy, decoder(z, greedy.argmax(-1)), atol=1e-12, rtol=0)


@pytest.mark.parametrize("leading", [(), (0,), (2, 3)])
def test_any_leading_dimensions(leading):
    decoder = decoder_with()
    z = torch.randn(*leading, 3, dtype=torch.float64)
    sentences = SENTENCES[0].expand(*leading, 4)
    assert decoder(z).shape == decoder(z, sentences).shape == (*leading, 4, 5)
    if 0 not in leading:  # of which torch's own distributions draw nothing
        assert decoder.sample(z).shape == (*leading, 4)
    loc, scale = SentenceEncoder(2, length=4, **SIZES)(sentences)
    assert loc.shape == scale.shape == (*leading, 2)


def test_training_reaches_every_parameter():
    encoder, decoder = SentenceEncoder(3, length=4, **SIZES).double(), decoder_with(0.3).train()
    loc, scale = encoder(SENTENCES)
    torch.distributions.Categorical(logits=decoder(loc + scale, SENTENCES)).log_prob(
        SENTENCES
    ).sum().backward()
    for network in (encoder, decoder):
        for path, parameter in network.named_parameters():
            assert parameter.grad.isfinite().all(), path
            assert parameter.grad.abs().sum() > 0, path


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"word_dropout: .*from 0 to 1, got 1.5"):
        SentenceDecoder(2, word_dropout=1.5)
    with pytest.raises(ValueError, match=r"tokens of shape \(..., 4\), got \(2, 3\)"):
        decoder_with()(torch.zeros(2, 3).double(), torch.zeros(2, 3).long())
    with pytest.raises(ValueError, match=r"SentenceFeatures: expected shape \(..., 4\), got \(2,"):
        SentenceEncoder(2, length=4, **SIZES)(torch.zeros(2, 3, dtype=torch.long))
