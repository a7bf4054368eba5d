"""Encoders and decoders: the networks of the papers, from a few generic classes.

An encoder class takes the size of the latent first and maps values ``(..., *event_shape)`` to a
pair ``(loc, scale)``, each ``(..., latent_dim)``, scale > 0 (a standard deviation; the b of a
Laplace expert). A decoder class takes its number of input features first and maps
``(..., in_features)`` to the parameters of a likelihood. A features class maps values to
``(..., out_features)``, and ``out_features`` is its attribute. An encoder of the same name puts a
linear layer on these features, and a joint network uses them as the trunk of a modality. All
networks take any number of leading dimensions, even none.

``__all__`` lists these classes. Their options are plain JSON values, so that
:mod:`~ppl_mm.networks.recipe` can write down a network as its class's name and its options, and
build it again. :mod:`~ppl_mm.networks.presets` holds the papers' choices of options.

Example:
    >>> from functools import partial
    >>> import torch
    >>> from ppl_mm import networks
    >>> encoder = partial(networks.MLPEncoder, event_shape=(1, 28, 28), hidden=(512, 512))
    >>> loc, scale = encoder(64)(torch.zeros(5, 1, 28, 28))
    >>> loc.shape, scale.shape
    (torch.Size([5, 64]), torch.Size([5, 64]))
    >>> networks.presets.mnist_image_encoder(64)(torch.zeros(1, 28, 28))[0].shape
    torch.Size([64])
"""

from ppl_mm.networks import presets as presets
from ppl_mm.networks.caption import CaptionDecoder, CaptionEncoder, CaptionFeatures
from ppl_mm.networks.characters import CharacterDecoder, CharacterEncoder, CharacterFeatures
from ppl_mm.networks.conv import ConvDecoder, ConvEncoder, ConvFeatures
from ppl_mm.networks.counts import CountsDecoder, CountsEncoder, CountsFeatures
from ppl_mm.networks.label import BinaryEncoder, BinaryFeatures, LabelEncoder, LabelFeatures
from ppl_mm.networks.mlp import MLPDecoder, MLPEncoder, MLPFeatures
from ppl_mm.networks.rates import RatesDecoder
from ppl_mm.networks.residual import ResidualDecoder, ResidualEncoder, ResidualFeatures
from ppl_mm.networks.resnet import ResNet as ResNet
from ppl_mm.networks.scales import location_scale as location_scale
from ppl_mm.networks.sentence import SentenceDecoder, SentenceEncoder, SentenceFeatures
from ppl_mm.networks.table import TableDecoder, TableEncoder, TableFeatures
from ppl_mm.networks.text import StringDecoder, StringEncoder, StringFeatures

__all__ = [
    "BinaryEncoder",
    "BinaryFeatures",
    "CaptionDecoder",
    "CaptionEncoder",
    "CaptionFeatures",
    "CharacterDecoder",
    "CharacterEncoder",
    "CharacterFeatures",
    "ConvDecoder",
    "ConvEncoder",
    "ConvFeatures",
    "CountsDecoder",
    "CountsEncoder",
    "CountsFeatures",
    "LabelEncoder",
    "LabelFeatures",
    "MLPDecoder",
    "MLPEncoder",
    "MLPFeatures",
    "RatesDecoder",
    "ResidualDecoder",
    "ResidualEncoder",
    "ResidualFeatures",
    "SentenceDecoder",
    "SentenceEncoder",
    "SentenceFeatures",
    "StringDecoder",
    "StringEncoder",
    "StringFeatures",
    "TableDecoder",
    "TableEncoder",
    "TableFeatures",
]
