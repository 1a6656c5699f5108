import keras
import numpy as np
import pytest
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
