"""The networks of CMMD; :mod:`ppl_mm.networks.presets` has them too, and tells their sizes.

An encoder is the network of p(z | x_O) for one observed modality, or the network of an expert. The
``..._features`` of tables H.3 to H.5 are that network without its head; they are the trunks of a
network of several modalities. The networks of appendix C join flattened values.

Source: Mancisidor, Kampffmeyer, Aas & Jenssen 2023 (CMMD), Neural Networks,
doi:10.1016/j.neunet.2023.10.048: tables H.3 to H.5 (``cmmd_mnist``, ``cmmd_svhn``, ``cmmd_text``),
appendix C with softplus and dropout of 0.2 (the others). Differs: learned scales are softplus
(+ 1e-6), while the paper's are exp. The decoders of images give logits; a Laplace or Normal
likelihood needs ``partial(..., sigmoid=True)``.

``cmmd_rotated`` is for the rotated MNIST picture of the experiment with three modalities. The paper
has one decoder for it and for SVHN, of 32 x 32 pixels, and crops the picture to 28 x 28 at the end.
Here the picture has that decoder for itself, and the last layer's padding crops. ``cmmd_fashion``
puts FashionMNIST in the place of SVHN. It has the same networks, and the first layer's padding adds
the margin of 2 pixels.

The encoders of labels and tags are for other systems, which encode every modality.
"""

from functools import partial
from typing import Any

from ppl_mm.networks.characters import CharacterDecoder, CharacterEncoder, CharacterFeatures
from ppl_mm.networks.conv import ConvDecoder, ConvEncoder, ConvFeatures
from ppl_mm.networks.label import LabelEncoder
from ppl_mm.networks.mlp import MLPDecoder, MLPEncoder, MLPFeatures

_SOFT: dict[str, Any] = {"activation": "softplus", "dropout": 0.2}

_MNIST: dict[str, Any] = {"event_shape": (1, 28, 28), "hidden": (400,), "activation": "relu"}
cmmd_mnist_encoder = partial(MLPEncoder, **_MNIST)
cmmd_mnist_decoder = partial(MLPDecoder, **_MNIST)
cmmd_mnist_features = partial(MLPFeatures, **_MNIST)

_SVHN: dict[str, Any] = {
    "event_shape": (3, 32, 32),
    "layers": ((32, 4, 2, 1), (64, 4, 2, 1), (64, 4, 2, 1), (128, 4, 2, 0)),
    "hidden": (),
    "activation": "relu",
    "bias": True,
}
cmmd_svhn_encoder = partial(ConvEncoder, **_SVHN)
cmmd_svhn_decoder = partial(
    ConvDecoder,
    start=(128, 1, 1),
    layers=((64, 4, 2, 0), (64, 4, 2, 1), (32, 4, 2, 1), (3, 4, 2, 1)),
    activation="relu",
    bias=True,
)
cmmd_svhn_features = partial(ConvFeatures, **_SVHN)

_FASHION: dict[str, Any] = {
    **_SVHN,
    "event_shape": (1, 28, 28),
    "layers": ((32, 4, 2, 3), (64, 4, 2, 1), (64, 4, 2, 1), (128, 4, 2, 0)),
}
cmmd_fashion_encoder = partial(ConvEncoder, **_FASHION)
cmmd_fashion_decoder = partial(
    cmmd_svhn_decoder, layers=((64, 4, 2, 0), (64, 4, 2, 1), (32, 4, 2, 1), (1, 4, 2, 3))
)
cmmd_fashion_features = partial(ConvFeatures, **_FASHION)

cmmd_rotated_encoder = cmmd_mnist_encoder
cmmd_rotated_decoder = cmmd_fashion_decoder
cmmd_rotated_features = cmmd_mnist_features

cmmd_text_encoder = partial(CharacterEncoder, vocab_size=71)
cmmd_text_decoder = partial(CharacterDecoder, vocab_size=71)
cmmd_text_features = partial(CharacterFeatures, vocab_size=71)

_VIEW: dict[str, Any] = {"event_shape": (1, 28, 28), "hidden": (1024, 1024, 1024), **_SOFT}
cmmd_view_encoder = partial(MLPEncoder, **_VIEW)
cmmd_view_decoder = partial(MLPDecoder, **_VIEW, learned_scale=True)

cmmd_digit_encoder = partial(LabelEncoder, num_classes=10, hidden=(50, 50))
cmmd_digit_decoder = partial(MLPDecoder, event_shape=(10,), hidden=(50, 50), **_SOFT)

_XRMB: dict[str, Any] = {"hidden": (1500, 1500, 1500), **_SOFT}
cmmd_acoustic_encoder = partial(MLPEncoder, event_shape=(273,), **_XRMB)
cmmd_acoustic_decoder = partial(MLPDecoder, event_shape=(273,), learned_scale=True, **_XRMB)
cmmd_articulatory_encoder = partial(MLPEncoder, event_shape=(112,), **_XRMB)
cmmd_articulatory_decoder = partial(MLPDecoder, event_shape=(112,), learned_scale=True, **_XRMB)
cmmd_phone_encoder = partial(LabelEncoder, num_classes=40, hidden=(100, 100))
cmmd_phone_decoder = partial(MLPDecoder, event_shape=(40,), hidden=(100, 100), **_SOFT)

_FLICKR: dict[str, Any] = {"hidden": (1024, 1024, 1024, 1024), **_SOFT}
cmmd_flickr_image_encoder = partial(MLPEncoder, event_shape=(3857,), **_FLICKR)
cmmd_flickr_image_decoder = partial(MLPDecoder, event_shape=(3857,), learned_scale=True, **_FLICKR)
cmmd_tags_encoder = partial(MLPEncoder, event_shape=(2000,), **_FLICKR)
cmmd_tags_decoder = partial(MLPDecoder, event_shape=(2000,), **_FLICKR)
cmmd_topics_encoder = partial(MLPEncoder, event_shape=(38,), hidden=(1550, 1550), **_SOFT)
cmmd_topics_decoder = partial(MLPDecoder, event_shape=(38,), hidden=(1550, 1550), **_SOFT)
