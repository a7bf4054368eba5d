import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ppl_mm.networks import StringDecoder, StringEncoder

ALL_STRINGS = torch.cartesian_prod(*[torch.arange(12)] * 4)  # (12^4, 4)


@pytest.fixture
def z():
    torch.manual_seed(0)
    return torch.randn(5, 3, dtype=torch.float64)


def decoder_with(feedback, dropout=0.1):
    torch.manual_seed(1)
    decoder = StringDecoder(3, hidden=8, feedback=feedback, dropout=dropout).double().eval()
    with torch.no_grad():  # far from uniform, so that the most probable symbol varies
        decoder.output.weight.mul_(20)
    return decoder


def one_direction(gru, suffix):
    """A forward GRU with one direction's weights of a bidirectional one."""
    single = nn.GRU(gru.input_size, gru.hidden_size, batch_first=True).double()
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    single.load_state_dict({name: getattr(gru, name + suffix) for name in names})
    return single


@pytest.mark.parametrize("readout", ["last", "final"])
def test_encoder_is_its_formula(readout):
    encoder = StringEncoder(3, hidden=6, readout=readout).double()
    strings = torch.randint(12, (7, 4))
    features = encoder.features
    embedded = features.embedding(strings)
    forward = one_direction(features.gru, "")(embedded)[0][:, -1]
    read = embedded[:, -1:] if readout == "last" else embedded.flip(1)  # last: one symbol only
    backward = one_direction(features.gru, "_reverse")(read)[0][:, -1]
    raw = encoder.head(forward + backward)
    loc, scale = encoder(strings)
    torch.testing.assert_close(loc, raw[:, :3], atol=1e-14, rtol=0)
    torch.testing.assert_close(scale, (raw[:, 3:] / 2).exp(), atol=1e-14, rtol=0)


@pytest.mark.parametrize("feedback", ["argmax", "teacher"])
def test_decoder_is_its_formula(feedback, z):
    # The symbols read are those of the argmax recursion, or the given strings.
    decoder = decoder_with(feedback)
    strings = torch.randint(12, (5, 4))
    logits = decoder(z, strings)
    inputs = strings if feedback == "teacher" else logits.argmax(-1)
    symbol = torch.full((5,), 10)
    layers = [[getattr(decoder.gru, n) for n in names] for names in decoder.gru._all_weights]
    states = [decoder.initial(z)] * 2
    for t in range(4):
        x = torch.cat([F.silu(decoder.embedding(symbol)), z], -1)
        for i, weights in enumerate(layers):
            x = states[i] = torch.gru_cell(x, states[i], *weights)
        expected = decoder.output(torch.cat([x, z], -1))
        torch.testing.assert_close(logits[:, t], expected, atol=1e-12, rtol=0)
        symbol = inputs[:, t]


@pytest.mark.parametrize("feedback", ["argmax", "teacher"])
def test_probabilities_of_all_strings_sum_to_one(feedback, z):
    decoder = decoder_with(feedback)
    logits = decoder(z[:1], ALL_STRINGS) if feedback == "argmax" else None
    if logits is None:
        logits = decoder(z[:1].expand(len(ALL_STRINGS), -1), ALL_STRINGS)
    log_p = torch.distributions.Categorical(logits=logits).log_prob(ALL_STRINGS).sum(-1)
    assert log_p.shape == (12**4,)
    torch.testing.assert_close(log_p.logsumexp(0), log_p.new_zeros(()), atol=1e-12, rtol=0)


def test_argmax_probabilities_depend_on_z_alone(z):
    decoder = decoder_with("argmax")
    for strings in (torch.zeros(5, 4, dtype=torch.long), torch.randint(12, (5, 4))):
        assert torch.equal(decoder(z, strings), decoder(z))


def test_argmax_feeds_its_own_symbol_back(z):
    decoder = decoder_with("argmax")
    before = decoder(z[:1])
    first = before[0, 0].argmax()
    assert first != decoder.start  # else the change below would reach position 0
    with torch.no_grad():
        decoder.embedding.weight[first] += 1.0
    after = decoder(z[:1])
    assert torch.equal(after[:, 0], before[:, 0])
    assert not torch.equal(after[:, 1], before[:, 1])
    with torch.no_grad():
        decoder.embedding.weight[decoder.start] += 1.0
    assert not torch.equal(decoder(z[:1])[:, 0], before[:, 0])


@pytest.mark.parametrize("position", [0, 1, 2, 3])
def test_teacher_reads_earlier_symbols_only(position, z):
    decoder = decoder_with("teacher")
    strings = torch.randint(12, (5, 4))
    other = strings.clone()
    other[:, position] = (other[:, position] + 1) % 12
    a, b = decoder(z, strings), decoder(z, other)
    assert torch.equal(a[:, : position + 1], b[:, : position + 1])
    for later in range(position + 1, 4):
        assert (a[:, later] != b[:, later]).any(-1).all()


def test_teacher_without_strings_feeds_argmax_back(z):
    decoder = decoder_with("teacher")
    greedy = decoder(z)
    assert torch.equal(greedy, decoder_with("argmax")(z))
    torch.testing.assert_close(greedy, decoder(z, greedy.argmax(-1)), atol=1e-12, rtol=0)


def test_strings_broadcast_over_particles():
    decoder = decoder_with("teacher")
    z = torch.randn(3, 5, 3, dtype=torch.float64)
    strings = torch.randint(12, (5, 4))
    logits = decoder(z, strings)
    assert logits.shape == (3, 5, 4, 12)
    for k in range(3):
        torch.testing.assert_close(logits[k], decoder(z[k], strings), atol=1e-12, rtol=0)


def test_dropout_acts_in_training_only(z):
    decoder = decoder_with("argmax")
    assert torch.equal(decoder(z), decoder(z))
    decoder.train()
    assert not torch.equal(decoder(z), decoder(z))


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"readout: expected 'last' or 'final', got 'first'"):
        StringEncoder(2, readout="first")
    with pytest.raises(ValueError, match=r"feedback: expected 'argmax' or 'teacher', got 'none'"):
        StringDecoder(2, feedback="none")
    with pytest.raises(
        ValueError, match=r"StringFeatures: expected shape \(..., 4\), got \(2, 3\)"
    ):
        StringEncoder(2)(torch.zeros(2, 3, dtype=torch.long))
    with pytest.raises(ValueError, match=r"tokens of shape \(..., 4\), got \(2, 1\)"):
        StringDecoder(2, feedback="teacher")(torch.zeros(2, 2), torch.zeros(2, 1).long())
