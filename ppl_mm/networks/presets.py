"""The networks of the papers, to be given as they are to a modality's ``encoder=``, ``decoder=``.

Each is a :func:`functools.partial` of a class of :mod:`ppl_mm.networks` and takes the size of the
latent. For every preset of the table there is a ``..._encoder`` and a ``..._decoder``; it gives
their numbers of parameters at the latent sizes D of the paper.

    data                    D  preset              encoder  decoder
    (Binary)MNIST image    64  mnist_image          730240   960784
    (Fashion)MNIST label   64  label                333440   563722
    FashionMNIST image     64  fashion_image       3409536  3382912
    MultiMNIST image      100  multimnist_image    1316936   810944
    MultiMNIST string     100  multimnist_string    525000   568612
    CelebA image          100  celeba_image        4070472  1336512
    CelebA attributes     100  celeba_attributes    377032   589330
    CelebA19, attribute   100  celeba19_attribute   366280   577537
    vision, 3 channels    250  vision_rgb          4224372  2296512
    vision, 1 channel     250  vision_gray         4223348  2295488

Source: Wu & Goodman 2018, arXiv:1802.05335, supplement and release. The paper says two hidden
layers for the MNIST decoders; these have the release's three. Table 1 counts MVAE19 with 18 times
``celeba_attributes_encoder``; the release has ``celeba19_attribute_encoder``.

Example:
    >>> import torch
    >>> from ppl_mm.networks import presets
    >>> encoder = presets.multimnist_image_encoder(100)
    >>> sum(p.numel() for p in encoder.parameters())
    1316936
    >>> presets.celeba_image_decoder(100)(torch.zeros(2, 100)).shape
    torch.Size([2, 3, 64, 64])
"""

from functools import partial

from ppl_mm.networks.conv import ConvDecoder, ConvEncoder
from ppl_mm.networks.label import BinaryEncoder, LabelEncoder
from ppl_mm.networks.mlp import MLPDecoder, MLPEncoder
from ppl_mm.networks.text import StringDecoder, StringEncoder

__all__ = [
    "celeba19_attribute_decoder",
    "celeba19_attribute_encoder",
    "celeba_attributes_decoder",
    "celeba_attributes_encoder",
    "celeba_image_decoder",
    "celeba_image_encoder",
    "fashion_image_decoder",
    "fashion_image_encoder",
    "label_decoder",
    "label_encoder",
    "mnist_image_decoder",
    "mnist_image_encoder",
    "multimnist_image_decoder",
    "multimnist_image_encoder",
    "multimnist_string_decoder",
    "multimnist_string_encoder",
    "vision_gray_decoder",
    "vision_gray_encoder",
    "vision_rgb_decoder",
    "vision_rgb_encoder",
]

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
