import keras
import numpy as np
import pytest

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


@pytest.mark.parametrize("make", [networks.dense_encoder, networks.dense_decoder])
@pytest.mark.parametrize(
    ("arguments", "name"),
    [((0,), "features"), ((2.5,), "features"), ((4, (16, -1)), "hidden")],
)
def test_impossible_widths_are_refused_by_name(make, arguments, name):
    with pytest.raises(ValueError, match=f"{name} must be made of positive integers"):
        make(*arguments)
