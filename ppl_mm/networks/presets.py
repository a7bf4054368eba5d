"""The networks of the papers, ready for the declaration of a modality.

Each is a :func:`functools.partial` of a class of :mod:`ppl_mm.networks` and takes the size of the
latent. Every preset of the table has a ``..._encoder`` and a ``..._decoder``; the table gives their
numbers of parameters at the latent sizes D of the paper.

    data                    D  preset                   encoder  decoder
    (Binary)MNIST image    64  mnist_image               730240   960784
    (Fashion)MNIST label   64  label                     333440   563722
    FashionMNIST image     64  fashion_image            3409536  3382912
    MultiMNIST image      100  multimnist_image         1316936   810944
    MultiMNIST string     100  multimnist_string         525000   568612
    CelebA image          100  celeba_image             4070472  1336512
    CelebA attributes     100  celeba_attributes         377032   589330
    CelebA19, attribute   100  celeba19_attribute        366280   577537
    vision, 3 channels    250  vision_rgb               4224372  2296512
    vision, 1 channel     250  vision_gray              4223348  2295488
    PolyMNIST image     32+32  polymnist                1473024  1485251
    PolyMNIST image       512  polymnist_conv           1667648  1143747
    MNIST-SVHN, MNIST      20  mnist_svhn_mnist          330040   322784
    MNIST-SVHN, SVHN       20  mnist_svhn_svhn           247560   206563
    MNIST-SVHN, MNIST    10+1  mnist_svhn_dmvae_mnist    206100   204560
    MNIST-SVHN, SVHN     10+4  mnist_svhn_dmvae_svhn    1224724   705024
    MNIST-Split, half      64  mnist_split              1115776   208645
    MNIST-Split-3, third   64  mnist_split_3            1115776   169445
    CUB image           48+16  cub_image                4309024  4276931
    CUB caption         48+16  cub_caption              1811872  3093751
    CUB image features     64  cub_features             2787200  2772736
    IWSLT, English        100  iwslt_en                6080456 15105319
    IWSLT, Vietnamese     100  iwslt_vi                3653064  7813661
    CMMD, MNIST            20  cmmd_mnist                330040   322784
    CMMD, SVHN             20  cmmd_svhn                 236360   233763
    CMMD, FashionMNIST     20  cmmd_fashion              235336   232737
    CMMD, rotated MNIST    20  cmmd_rotated              330040   232737
    CMMD, text             20  cmmd_text                 145704   143175
    CMMD, two-view MNIST   50  cmmd_view                3005540  3758624
    CMMD, digit            50  cmmd_digit                  8150     5610
    CMMD, XRMB acoustics   70  cmmd_acoustic            5124140  5429046
    CMMD, articulation     70  cmmd_articulatory        4882640  4945724
    CMMD, XRMB phone       70  cmmd_phone                 28240    21240
    CMMD, Flickr image   1024  cmmd_flickr_image        9198592 12105250
    CMMD, Flickr tags    1024  cmmd_tags                7297024  6248400
    CMMD, Flickr topics  1024  cmmd_topics              5640948  4051738

D = 48 + 16 means a shared and a private latent. The table counts the encoder of the shared one, 48;
the decoder takes both, the shared one first. The private encoder of a CUB caption is another
preset, ``cub_caption_private_encoder``, with 630624 parameters at 16.

If a paper has joint networks, a preset has a ``..._features``, the trunk of such a network. Joined
by :class:`ppl_mm.guides.JointNetwork` the trunks have

    data                    D  joined by                             parameters
    (Binary)MNIST          64  hidden=512, activation="silu"             997504
    FashionMNIST           64  hidden=512, activation="silu"            3939456
    CelebA                100  hidden=512, activation="silu"            4605000
    MNIST-SVHN             20  hidden=None                              1331240
    MNIST-Split            64  hidden=512                               2165376
    MNIST-Split-3          64  hidden=512, three of them                3214976
    CUB features, caption  64  hidden=512                               4500160

Source: Wu & Goodman 2018, arXiv:1802.05335, supplement and release. The paper says two hidden
layers for the MNIST decoders; these have the release's three. Table 1 counts MVAE19 with 18 times
``celeba_attributes_encoder``; the release has ``celeba19_attribute_encoder``.

Networks ``polymnist`` and ``cub_...``: Palumbo, Daunhawer & Vogt 2023, MMVAE+, release, with
Laplace experts for PolyMNIST and Normal ones for CUB. ``polymnist_conv``: Sutter, Daunhawer &
Vogt 2021, MoPoE-VAE, release (Normal experts, the hidden layer as wide as the latent).
``mnist_svhn_mnist`` and ``mnist_svhn_svhn``: Shi et al. 2019, MMVAE, arXiv:1911.03393, release
(Laplace experts). ``mnist_svhn_dmvae_...``: Lee & Pavlovic 2021, DMVAE, release (Normal experts).
The decoders of MNIST-SVHN end in a sigmoid, the location of a Laplace or Normal likelihood; for a
Bernoulli, which takes logits, use ``partial(..., sigmoid=False)``.

Networks ``mnist_split``, ``mnist_split_3`` and ``cub_features``: Kutuzova et al. 2020, "Multimodal
Variational Autoencoders for Semi-Supervised Learning: In Defense of Product-of-Experts" (SVAE),
tables F.2, F.7 and F.6 (Normal experts). Differs: the printed sizes of F.2 and F.7 do not fit
together, so these networks have those of the release: 768 features, not 786, and decoders whose
kernels (height, width) give 14 (or 9) rows. The features of MNIST-Split, MNIST-SVHN and CUB are
those of the same release, where captions have at most 128 channels; its joint networks have
``scale="softplus"``. The other features follow Wu & Goodman 2018, Table 1 (JMVAE). The joint
network of MultiMNIST is not known; its features are those of the single encoders. Networks
``cmmd_...``: Mancisidor et al. 2023, see :mod:`ppl_mm.networks.presets_cmmd`. Networks
``iwslt_...``: see :mod:`ppl_mm.networks.presets_iwslt`.

Example:
    >>> from ppl_mm.networks import presets
    >>> encoder = presets.multimnist_image_encoder(100)
    >>> sum(p.numel() for p in encoder.parameters())
    1316936
"""

from functools import partial
from typing import Any

from ppl_mm.networks.caption import CaptionDecoder, CaptionEncoder, CaptionFeatures
from ppl_mm.networks.conv import ConvDecoder, ConvEncoder, ConvFeatures
from ppl_mm.networks.label import BinaryEncoder, LabelEncoder, LabelFeatures
from ppl_mm.networks.layers import Features
from ppl_mm.networks.mlp import MLPDecoder, MLPEncoder, MLPFeatures
from ppl_mm.networks.presets_cmmd import *  # noqa: F403 - its names are presets of this module too
from ppl_mm.networks.presets_iwslt import *  # noqa: F403
from ppl_mm.networks.residual import ResidualDecoder, ResidualEncoder
from ppl_mm.networks.text import StringDecoder, StringEncoder, StringFeatures

mnist_image_encoder = partial(MLPEncoder, event_shape=(1, 28, 28), hidden=(512, 512))
mnist_image_decoder = partial(MLPDecoder, event_shape=(1, 28, 28), hidden=(512, 512, 512))
label_encoder = partial(LabelEncoder, num_classes=10, hidden=(512, 512))
label_decoder = partial(MLPDecoder, event_shape=(10,), hidden=(512, 512, 512))

fashion_image_encoder = partial(
    ConvEncoder, event_shape=(1, 28, 28), layers=((64, 4, 2, 1), (128, 4, 2, 1)), hidden=(512,)
)
fashion_image_decoder = partial(
    ConvDecoder, start=(128, 7, 7), layers=((64, 4, 2, 1), (1, 4, 2, 1)), hidden=(512,)
)

multimnist_image_encoder = partial(
    ConvEncoder,
    event_shape=(1, 50, 50),
    layers=((32, 4, 2, 1), (64, 4, 2, 1), (128, 4, 2, 1), (256, 4, 2, 0)),
    hidden=(512,),
    batch_norm=True,
    dropout=0.1,
)
multimnist_image_decoder = partial(
    ConvDecoder,
    start=(256, 2, 2),
    layers=((128, 4, 2, 0), (64, 4, 2, 1), (32, 5, 2, 1), (1, 4, 2, 1)),
    batch_norm=True,
)
multimnist_string_encoder = partial(StringEncoder, length=4, vocab_size=12, hidden=200)
multimnist_string_decoder = partial(StringDecoder, length=4, vocab_size=12, start=10, hidden=200)

celeba_image_encoder = partial(
    ConvEncoder,
    event_shape=(3, 64, 64),
    layers=((32, 4, 2, 1), (64, 4, 2, 1), (128, 4, 2, 1), (256, 4, 1, 0)),
    hidden=(512,),
    batch_norm=True,
    dropout=0.1,
)
celeba_image_decoder = partial(
    ConvDecoder,
    start=(256, 5, 5),
    layers=((128, 4, 1, 0), (64, 4, 2, 1), (32, 4, 2, 1), (3, 4, 2, 1)),
    batch_norm=True,
)
celeba_attributes_encoder = partial(
    MLPEncoder, event_shape=(18,), hidden=(512, 512), batch_norm=True
)
celeba_attributes_decoder = partial(
    MLPDecoder, event_shape=(18,), hidden=(512, 512, 512), batch_norm=True
)
celeba19_attribute_encoder = partial(BinaryEncoder, hidden=(512, 512))
celeba19_attribute_decoder = partial(MLPDecoder, event_shape=(), hidden=(512, 512, 512))

vision_rgb_encoder = celeba_image_encoder
vision_rgb_decoder = celeba_image_decoder
vision_gray_encoder = partial(celeba_image_encoder, event_shape=(1, 64, 64))
vision_gray_decoder = partial(
    celeba_image_decoder, layers=((128, 4, 1, 0), (64, 4, 2, 1), (32, 4, 2, 1), (1, 4, 2, 1))
)

polymnist_encoder = partial(ResidualEncoder, event_shape=(3, 28, 28), scale="softmax")
polymnist_decoder = partial(ResidualDecoder, event_shape=(3, 28, 28))
polymnist_conv_encoder = partial(
    ConvEncoder,
    event_shape=(3, 28, 28),
    layers=((32, 3, 2, 1), (64, 3, 2, 1), (128, 3, 2, 1)),
    hidden=(512,),
    activation="relu",
    bias=True,
)
polymnist_conv_decoder = partial(
    ConvDecoder,
    start=(128, 4, 4),
    layers=((64, 3, 2, 1, 0), (32, 3, 2, 1, 1), (3, 3, 2, 1, 1)),
    activation="relu",
    bias=True,
)

mnist_svhn_mnist_encoder = partial(
    MLPEncoder, event_shape=(1, 28, 28), hidden=(400,), activation="relu", scale="softmax"
)
mnist_svhn_mnist_decoder = partial(
    MLPDecoder,
    event_shape=(1, 28, 28),
    hidden=(400,),
    activation="relu",
    sigmoid=True,
    margin=1e-6,
)
mnist_svhn_svhn_encoder = partial(
    ConvEncoder,
    event_shape=(3, 32, 32),
    layers=((32, 4, 2, 1), (64, 4, 2, 1), (128, 4, 2, 1)),
    hidden=(),
    activation="relu",
    bias=True,
    scale="softmax",
)
mnist_svhn_svhn_decoder = partial(
    ConvDecoder,
    start=None,
    layers=((128, 4, 1, 0), (64, 4, 2, 1), (32, 4, 2, 1), (3, 4, 2, 1)),
    activation="relu",
    bias=True,
    sigmoid=True,
)

mnist_svhn_dmvae_mnist_encoder = partial(
    MLPEncoder, event_shape=(1, 28, 28), hidden=(256,), activation="relu", kaiming=True
)
mnist_svhn_dmvae_mnist_decoder = partial(
    MLPDecoder,
    event_shape=(1, 28, 28),
    hidden=(256,),
    activation="relu",
    sigmoid=True,
    kaiming=True,
)
mnist_svhn_dmvae_svhn_encoder = partial(
    ConvEncoder,
    event_shape=(3, 32, 32),
    layers=((32, 4, 2, 1), (64, 4, 2, 1), (128, 4, 2, 1), (256, 4, 2, 1)),
    hidden=(512,),
    dropout=0.1,
    activation="relu",
    kaiming=True,
)
mnist_svhn_dmvae_svhn_decoder = partial(
    ConvDecoder,
    start=(256, 2, 2),
    layers=((128, 4, 2, 1), (64, 4, 2, 1), (32, 4, 2, 1), (3, 4, 2, 1)),
    activation="relu",
    sigmoid=True,
    kaiming=True,
)

mnist_split_encoder = partial(
    ConvEncoder,
    event_shape=(1, 14, 28),
    layers=((64, 4, 2, 1), (128, 4, 2, 1), (256, 4, 2, 1)),
    hidden=(512,),
    activation="relu",
    scale="softplus",
)
mnist_split_decoder = partial(
    ConvDecoder,
    start=(112, 1, 1),
    layers=((56, (3, 5), 2, 0), (28, (3, 5), 2, 0), (1, (2, 4), 2, 0)),
    hidden=(512,),
    activation="relu",
    bias=True,
)
mnist_split_3_encoder = partial(mnist_split_encoder, event_shape=(1, 9, 28))
mnist_split_3_decoder = partial(
    mnist_split_decoder,
    layers=((56, (2, 5), 2, 0), (28, (2, 5), 2, 0), (1, (2, 4), 2, 0, (1, 0))),
)

cub_image_encoder = partial(ResidualEncoder, event_shape=(3, 64, 64), num_pools=5, scale="softplus")
cub_image_decoder = partial(ResidualDecoder, event_shape=(3, 64, 64), num_pools=5)
cub_caption_encoder = partial(
    CaptionEncoder, length=32, vocab_size=1590, tower="shared", scale="softplus"
)
cub_caption_private_encoder = partial(cub_caption_encoder, tower="private")
cub_caption_decoder = partial(CaptionDecoder, private_features=16, length=32, vocab_size=1590)
cub_features_encoder = partial(
    MLPEncoder, event_shape=(2048,), hidden=(1024, 512, 256), activation="elu", scale="softplus"
)
cub_features_decoder = partial(
    MLPDecoder, event_shape=(2048,), hidden=(256, 512, 1024), activation="elu"
)


def _features(kind: type[Features], encoder: partial[Any], **changes: Any) -> partial[Features]:
    """Return features with an encoder's options, without those of its head and with changes."""
    options = {k: v for k, v in encoder.keywords.items() if k not in ("scale", "min_scale")}
    return partial(kind, **(options | changes))


mnist_image_features = _features(MLPFeatures, mnist_image_encoder, hidden=(512,))
label_features = _features(LabelFeatures, label_encoder, hidden=(512,))
fashion_image_features = _features(ConvFeatures, fashion_image_encoder)
multimnist_image_features = _features(ConvFeatures, multimnist_image_encoder)
multimnist_string_features = _features(StringFeatures, multimnist_string_encoder)
celeba_image_features = _features(ConvFeatures, celeba_image_encoder)
celeba_attributes_features = _features(
    MLPFeatures, celeba_attributes_encoder, hidden=(512,), batch_norm=False
)
mnist_svhn_mnist_features = _features(MLPFeatures, mnist_svhn_mnist_encoder)
mnist_svhn_svhn_features = _features(ConvFeatures, mnist_svhn_svhn_encoder, out_features=400)
mnist_split_features = _features(ConvFeatures, mnist_split_encoder, hidden=())
mnist_split_3_features = _features(ConvFeatures, mnist_split_3_encoder, hidden=())
cub_caption_features = _features(CaptionFeatures, cub_caption_encoder, max_channels=128)
cub_features_features = _features(MLPFeatures, cub_features_encoder)

__all__ = [name for name, value in list(globals().items()) if isinstance(value, partial)]
