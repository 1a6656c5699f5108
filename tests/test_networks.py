import re

import keras
import numpy as np
import pytest
from scipy.signal import correlate
from scipy.special import expit

from sslkit import networks


def test_dense_encoder_is_the_affine_map_it_claims_to_be():
    encoder = networks.dense_encoder(8, activation="linear")
    images = np.random.default_rng(0).random((3, 28, 28)).astype("float32")
    kernel, bias = encoder.get_weights()
    np.testing.assert_allclose(
        encoder(images), images.reshape(3, 784) @ kernel + bias, rtol=1e-4, atol=1e-5
    )


def test_hidden_layers_have_the_widths_asked_for_and_mirror_each_other():
    encoder = networks.dense_encoder(5, hidden=(32, 16))
    decoder = networks.dense_decoder(5, hidden=(16, 32))
    kernels = [w.shape for w in encoder.weights if len(w.shape) == 2]
    assert kernels == [(784, 32), (32, 16), (16, 5)]
    mirrored = [w.shape for w in decoder.weights if len(w.shape) == 2]
    assert mirrored == [shape[::-1] for shape in reversed(kernels)]


def test_sigmoid_decoder_stays_in_the_unit_interval_and_linear_one_does_not():
    codes = 50 * np.random.default_rng(0).normal(size=(4, 6)).astype("float32")
    images = np.asarray(networks.dense_decoder(6)(codes))
    logits = np.asarray(networks.dense_decoder(6, activation="linear")(codes))
    assert images.shape == logits.shape == (4, 28, 28)
    assert images.min() >= 0 and images.max() <= 1
    assert logits.min() < 0 and logits.max() > 1


def test_same_seed_gives_the_same_weights():
    def kernel(seed):
        keras.utils.set_random_seed(seed)
        return networks.dense_encoder(4).get_weights()[0]

    np.testing.assert_array_equal(kernel(3), kernel(3))
    assert np.abs(kernel(3) - kernel(4)).max() > 0


@pytest.mark.parametrize(
    ("make", "inputs"),
    [(networks.dense_encoder, (28, 28)), (networks.dense_decoder, (4,))],
)
def test_hidden_activation_is_that_of_the_hidden_layers_only(make, inputs):
    model = make(4, (6, 5), activation="linear", hidden_activation="silu")
    x = np.random.default_rng(0).normal(size=(3, *inputs)).astype("float32")
    h = x.reshape(3, -1).astype("float64")
    weights = model.get_weights()
    for kernel, bias in zip(weights[:4:2], weights[1:4:2], strict=True):
        h = h @ kernel + bias
        h = h * expit(h)
    h = h @ weights[4] + weights[5]
    np.testing.assert_allclose(
        np.asarray(model(x)).reshape(3, -1), h, rtol=1e-3, atol=1e-4
    )


def test_mlp_is_leaky_between_and_linear_at_the_end():
    model = networks.mlp(2, (7, 5), outputs=3, name="critic")
    x = 10 * np.random.default_rng(0).normal(size=(20, 2)).astype("float32")
    a, b, c, d, e, f = model.get_weights()
    h = x @ a + b
    h = np.where(h > 0, h, 0.2 * h) @ c + d
    expected = np.where(h > 0, h, 0.2 * h) @ e + f
    np.testing.assert_allclose(model(x), expected, rtol=1e-4, atol=1e-5)
    assert expected.min() < 0 < expected.max() and model.name == "critic"


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        # Weights and biases: 3 x 3 kernels, 28 pixels halved to 14, 7, 4.
        (
            lambda: networks.conv_encoder(5, (2, 3)),
            9 * 2 + 2 + 9 * 2 * 3 + 3 + 49 * 3 * 5 + 5,
        ),
        (
            lambda: networks.conv_encoder(5, (2, 3, 4)),
            20 + 57 + 9 * 3 * 4 + 4 + 16 * 4 * 5 + 5,
        ),
        (
            lambda: networks.conv_decoder(5, (3, 2)),
            5 * 147 + 147 + 9 * 3 * 3 + 3 + 9 * 3 * 2 + 2 + 9 * 2 + 1,
        ),
        # No bias before batch normalisation, which has four numbers a channel.
        (
            lambda: networks.dcgan_generator(5, (3, 2)),
            5 * 147 + 4 * 3 + 16 * 3 * 2 + 4 * 2 + 16 * 2 + 1,
        ),
        (
            lambda: networks.dcgan_discriminator((2, 3)),
            16 * 2 + 2 + 16 * 2 * 3 + 3 + 49 * 3 + 1,
        ),
    ],
)
def test_convolutional_networks_have_the_parameters_of_their_layers(model, parameters):
    assert model().count_params() == parameters


@pytest.mark.parametrize(
    ("strides", "sides"),
    # With padding, a stride of s leaves the side divided by s, rounded up.
    [((), (14, 7, 4)), ((1, 2, 3), (28, 14, 5)), ([4, 1, 2], (7, 7, 4))],
)
def test_each_stride_of_the_batchnorm_encoder_divides_height_and_width(strides, sides):
    model = networks.batchnorm_encoder(5, (2, 3, 4), strides)
    shapes = [
        layer.output.shape[1:]
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D)
    ]
    channels = (2, 3, 4)
    assert shapes == [(n, n, c) for n, c in zip(sides, channels, strict=True)]
    assert model(np.zeros((2, 28, 28), "float32")).shape == (2, 5)
    assert model.layers[-1].kernel.shape == (sides[-1] ** 2 * 4, 5)


@pytest.mark.parametrize(("given", "momentum"), [({}, 0.99), ({"momentum": 0.5}, 0.5)])
def test_momentum_is_that_of_every_running_average(given, momentum):
    model = networks.batchnorm_encoder(5, (2, 3), **given)
    layers = [
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    assert [layer.momentum for layer in layers] == [momentum, momentum]


@pytest.mark.parametrize("strides", [(2,), (2, 2, 1, 1)])
def test_a_batchnorm_encoder_wants_one_stride_per_convolution(strides):
    message = f"strides must be one per convolution, got {len(strides)} for 3 channels"
    with pytest.raises(ValueError, match=message):
        networks.batchnorm_encoder(5, (2, 3, 4), strides)


def test_convolutional_pair_maps_images_to_features_and_back():
    images = np.random.default_rng(0).random((3, 28, 28)).astype("float32")
    codes = np.asarray(networks.conv_encoder(4, (2, 2), activation="linear")(images))
    assert codes.shape == (3, 4) and codes.min() < 0
    assert np.asarray(networks.conv_encoder(4, (2, 2))(images)).min() >= 0
    shown = np.asarray(networks.conv_decoder(4, (2, 2))(codes))
    assert shown.shape == (3, 28, 28) and 0 <= shown.min() <= shown.max() <= 1
    logits = np.asarray(networks.conv_decoder(4, (2, 2), "linear")(codes))
    assert logits.min() < 0


@pytest.mark.parametrize(
    ("make", "inputs"), [(networks.conv_encoder, (28, 28)), (networks.conv_decoder, 3)]
)
def test_every_hidden_layer_of_the_convolutional_pair_is_a_relu(make, inputs):
    model = make(3, (2, 2), activation="linear")
    x = np.ones((1, *np.atleast_1d(inputs)), "float32")
    ones = [np.full(w.shape, 0.1 * (w.ndim > 1)) for w in model.get_weights()]
    model.set_weights(ones)
    assert np.asarray(model(x)).min() > 0
    for i in range(0, len(ones) - 2, 2):  # all but the last pair of kernel and bias
        model.set_weights([-w if j == i else w for j, w in enumerate(ones)])
        np.testing.assert_array_equal(model(x), np.zeros(model(x).shape))


def test_generated_pixels_stay_in_the_unit_interval_and_depend_on_the_batch():
    z = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")
    model = networks.dcgan_generator(4, (3, 2))
    images = np.asarray(model(100 * z))
    assert images.shape == (6, 28, 28) and 0 <= images.min() <= images.max() <= 1
    # Batch normalisation: in training, on the batch; else, not.
    together, alone = model(z, training=True)[:2], model(z[:2], training=True)
    assert np.abs(np.asarray(together) - np.asarray(alone)).max() > 1e-4
    np.testing.assert_allclose(model(z)[:2], model(z[:2]), atol=1e-6)


def test_convolutions_of_the_discriminator_are_leaky():
    model = networks.dcgan_discriminator((1, 1))
    kernel, zero = np.ones((4, 4, 1, 1)), np.zeros(1)
    model.set_weights([-kernel, zero, kernel, zero, np.ones((49, 1)), zero])
    images = np.ones((1, 28, 28), "float32")
    # Of one sign everywhere: all units pass what they get, or a fifth of it, twice.
    passed, leaked = float(model(-images)[0, 0]), float(model(images)[0, 0])
    assert passed > 0 and leaked == pytest.approx(-(0.2**2) * passed, rel=1e-5)


def test_discriminator_judges_each_image_by_itself():
    images = np.random.default_rng(0).random((6, 28, 28)).astype("float32")
    model = networks.dcgan_discriminator((2, 3))
    logits = model(images, training=True)
    assert logits.shape == (6, 1)
    np.testing.assert_allclose(logits[:2], model(images[:2], training=True), atol=1e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda channels: networks.conv_decoder(4, channels),
        lambda channels: networks.dcgan_generator(4, channels),
        networks.dcgan_discriminator,
    ],
)
@pytest.mark.parametrize("channels", [(), (4,), (4, 4, 4)])
def test_28_pixels_can_be_halved_twice(make, channels):
    with pytest.raises(ValueError, match="channels must hold two numbers"):
        make(channels)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: networks.mlp(0, (4,)), "inputs"),
        (lambda: networks.mlp(2, (4, 0)), "hidden"),
        (lambda: networks.mlp(2, (4,), outputs=1.5), "hidden"),
        (lambda: networks.conv_encoder(0), "features"),
        (lambda: networks.conv_encoder(4, (2, 0)), "hidden"),
        (lambda: networks.conv_decoder(-1), "features"),
        (lambda: networks.dcgan_generator(0), "latent"),
        (lambda: networks.dcgan_discriminator((2, "3")), "hidden"),
    ],
)
def test_other_networks_refuse_impossible_widths(make, name):
    with pytest.raises(ValueError, match=f"{name} must be made of positive integers"):
        make()


@pytest.mark.parametrize("make", [networks.dense_encoder, networks.dense_decoder])
@pytest.mark.parametrize(
    ("arguments", "name"),
    [((0,), "features"), ((2.5,), "features"), ((4, (16, -1)), "hidden")],
)
def test_impossible_widths_are_refused_by_name(make, arguments, name):
    with pytest.raises(ValueError, match=f"{name} must be made of positive integers"):
        make(*arguments)


# --- other shapes -----------------------------------------------------------------

SHAPES = [(28, 28), (32, 32, 3), (24, 40, 3), (64, 32), (8, 8, 1)]


@pytest.mark.parametrize("shape", [*SHAPES, (27, 31, 3)])
@pytest.mark.parametrize(
    "make",
    [
        lambda shape: networks.dense_encoder(5, (4,), shape=shape),
        lambda shape: networks.conv_encoder(5, (2, 3), shape=shape),
        lambda shape: networks.batchnorm_encoder(5, (2, 3, 4), shape=shape),
        lambda shape: networks.residual_encoder(5, shape, (2, 3)),
    ],
)
def test_encoders_take_images_of_any_shape(make, shape):
    model = make(shape)
    assert model.input_shape == (None, *shape) and model.output_shape == (None, 5)
    model.set_weights([abs(w) + 0.01 for w in model.get_weights()])  # no ReLU is off
    images = np.random.default_rng(0).random((2, *shape), "float32")
    features = np.asarray(model(images))
    # Every pixel and every channel counts.
    for corner in ((0,) * len(shape), (-1,) * len(shape)):
        changed = images.copy()
        changed[(slice(None), *corner)] += 5
        assert np.abs(np.asarray(model(changed)) - features).min() > 0


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "make",
    [
        lambda shape, channels: networks.dense_decoder(5, (4,), shape=shape),
        lambda shape, channels: networks.conv_decoder(5, channels, shape=shape),
        lambda shape, channels: networks.dcgan_generator(5, channels, shape),
    ],
)
def test_decoders_and_generators_make_images_of_any_shape(make, shape):
    count = networks.halvings(shape)[0]
    model = make(shape, (4, 3, 2)[:count])
    z = 30 * np.random.default_rng(0).normal(size=(3, 5)).astype("float32")
    images = np.asarray(model(z))
    assert images.shape == (3, *shape)
    assert 0 <= images.min() < images.max() <= 1
    if shape[2:] == (3,):  # no channel repeats another
        assert np.abs(np.diff(images, axis=-1)).max() > 1e-3


@pytest.mark.parametrize("shape", SHAPES)
def test_a_discriminator_judges_images_of_any_shape(shape):
    channels = (2, 3, 4)[: networks.halvings(shape)[0]]
    model = networks.dcgan_discriminator(channels, shape)
    assert model.input_shape == (None, *shape) and model.output_shape == (None, 1)
    pixels = np.prod(shape[:2]) // 4 ** len(channels)
    assert model.layers[-1].kernel.shape == (pixels * channels[-1], 1)


def test_decoders_begin_with_as_many_halvings_as_there_are_channels():
    for channels, (rows, columns) in {(4, 3, 2): (3, 5), (4, 3): (6, 10)}.items():
        decoder = networks.conv_decoder(5, channels, shape=(24, 40, 3))
        generator = networks.dcgan_generator(5, channels, (24, 40, 3))
        for model in (decoder, generator):
            assert model.layers[1].output.shape == (None, rows, columns, 4)


@pytest.mark.parametrize(
    ("shape", "counts"),
    [
        ((28, 28), [2]),
        ((96, 96, 3), [3, 4, 5]),
        ((13, 13), []),
        ((26, 26), []),  # 13 pixels, which are more than 12, cannot be halved
        ((64, 24), [1, 2, 3]),
        ((8, 8), [1, 2, 3]),
    ],
)
def test_halvings_are_counted(shape, counts):
    assert networks.halvings(shape) == counts


@pytest.mark.parametrize(
    ("shape", "channels", "message"),
    [
        ((28, 30), (2, 2), r"shape must have a height and width that can be halved"),
        ((32, 32, 3), (2,), r"channels must hold two or three or four or five numbers"),
        (
            (20, 20),
            (2, 2, 2),
            r"channels must hold one or two numbers, got \[2, 2, 2\]",
        ),
        ((10, 10), (2, 2), r"channels must hold one number, got \[2, 2\]"),
        ((28,), (2, 2), r"shape must be \(height, width\) or .*got \(28,\)"),
        ((28, 28.0), (2, 2), r"shape must be .*got \(28, 28.0\)"),
        ((28, 28, 0), (2, 2), r"shape must be .*got \(28, 28, 0\)"),
    ],
)
def test_sizes_that_cannot_be_halved_are_named(shape, channels, message):
    for make in (
        lambda: networks.conv_decoder(4, channels, shape=shape),
        lambda: networks.dcgan_generator(4, channels, shape),
        lambda: networks.dcgan_discriminator(channels, shape),
    ):
        with pytest.raises(ValueError, match=message):
            make()


@pytest.mark.parametrize(
    "make",
    [
        lambda shape: networks.dense_encoder(4, shape=shape),
        lambda shape: networks.dense_decoder(4, shape=shape),
        lambda shape: networks.conv_encoder(4, shape=shape),
        lambda shape: networks.batchnorm_encoder(4, shape=shape),
        lambda shape: networks.residual_encoder(4, shape),
    ],
)
def test_what_is_no_shape_of_images_is_named(make):
    for shape in [(28,), (2, 28, 28, 3), (28, -28)]:
        with pytest.raises(ValueError, match=r"shape must be \(height, width\) or"):
            make(shape)


# --- residual network -------------------------------------------------------------


def convolved(x, kernel, stride):
    """Convolution with the padding of TensorFlow, one image and filter at a time."""
    size, padded = len(kernel), []
    for n in x.shape[1:3]:
        total = max((-(-n // stride) - 1) * stride + size - n, 0)
        padded.append((total // 2, total - total // 2))
    x = np.pad(x, ((0, 0), *padded, (0, 0)))
    full = [
        [correlate(image, kernel[..., i], "valid")[..., 0] for image in x]
        for i in range(kernel.shape[-1])
    ]
    return np.moveaxis(full, 0, -1)[:, ::stride, ::stride]


def in_order_of_making(model):
    """Weights of each convolution and its normalisation, then of the dense layer."""

    def of(kind):
        layers = [layer for layer in model.layers if type(layer) is kind]
        return sorted(layers, key=lambda x: int(re.search(r"\d*$", x.name)[0] or 0))

    convolutions = of(keras.layers.Conv2D)
    norms, dense = of(keras.layers.BatchNormalization), of(keras.layers.Dense)
    pairs = [x for pair in zip(convolutions, norms, strict=True) for x in pair]
    return [w for layer in (*pairs, *dense) for w in layer.get_weights()]


def residual(x, weights, widths, blocks, stem):
    """The network from the formula of its blocks, with the weights in their order."""
    weights = iter(weights)

    def step(x, stride):
        kernel, gamma, beta, mean, variance = (next(weights) for _ in range(5))
        x = convolved(x, kernel, stride)
        return gamma * (x - mean) / np.sqrt(variance + 1e-3) + beta

    x = np.maximum(step(x, stem), 0)
    for _ in widths:
        for i in range(blocks):
            stride = 2 if i == 0 else 1
            h = step(np.maximum(step(x, stride), 0), 1)
            x = np.maximum(h + (step(x, stride) if i == 0 else x), 0)
    x = x.mean(axis=(1, 2))
    rest = list(weights)
    return x @ rest[0] + rest[1] if rest else x


@pytest.mark.parametrize(
    ("shape", "features", "blocks", "stem"),
    [((16, 12, 3), 5, 1, 2), ((13, 9), None, 2, 1)],
)
def test_residual_network_is_the_formula_of_its_blocks(shape, features, blocks, stem):
    rng, widths = np.random.default_rng(0), (3, 4)
    model = networks.residual_encoder(features, shape, widths, blocks, stem)
    for weight in model.weights:  # of both signs, so that every ReLU matters
        spread = weight.path.endswith("variance")
        draws = (
            rng.uniform(0.5, 2, weight.shape)
            if spread
            else rng.normal(size=weight.shape)
        )
        weight.assign(draws)
    x = rng.random((3, *shape), "float32")
    channels = x if len(shape) == 3 else x[..., None]
    expected = residual(channels, in_order_of_making(model), widths, blocks, stem)
    np.testing.assert_allclose(model(x), expected, rtol=1e-3, atol=1e-3)
    # The shortcut of a stage is 1 x 1; everything else is 3 x 3.
    kernels = [w.shape[:2] for w in in_order_of_making(model) if w.ndim == 4]
    assert kernels.count((1, 1)) == len(widths)
    assert kernels.count((3, 3)) == 1 + 2 * blocks * len(widths)


def test_residual_network_ends_as_small_as_promised():
    for shape, stem in [((32, 32, 3), 1), ((64, 64, 3), 2)]:
        model = networks.residual_encoder(None, shape, (2, 2, 7), stem=stem)
        assert model.layers[-1].input.shape == (None, 4, 4, 7)
        assert model.output_shape == (None, 7)
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert {layer.momentum for layer in norms} == {0.9}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"features": 0}, "features must be made of positive integers, got 0"),
        ({"widths": (4, 0)}, "hidden must be made of positive integers, got 0"),
        ({"widths": ()}, "widths must hold a number for each stage"),
        ({"blocks": 0}, "blocks must be made of positive integers, got 0"),
        ({"stem": 1.5}, "stem must be made of positive integers, got 1.5"),
    ],
)
def test_residual_network_names_what_is_impossible(arguments, message):
    with pytest.raises(ValueError, match=message):
        networks.residual_encoder(**arguments)
