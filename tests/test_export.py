"""What is written for a page, read back without `sslkit.export`.

That a page computes what Keras computes is tested in `test_live_browser.py`.
"""

import base64
import json
import re

import keras
import numpy as np
import pytest

from sslkit import export, mae, networks

L = keras.layers


def read(path):
    """Read a file as a page does: one call of `live.define`."""
    name, content = re.fullmatch(
        r'live\.define\("(\w+)", (\{.*\})\);\n', path.read_text("utf-8")
    ).groups()
    return name, json.loads(content)


def numbers(written):
    raw = base64.b64decode(written["data"])
    codes = {"uint8": "u1", "float16": "<f2", "float32": "<f4"}
    return np.frombuffer(raw, codes[written["type"]]).reshape(written["shape"])


def sequential(shape, *layers):
    return keras.Sequential([keras.Input(shape), *layers])


def kinds(model):
    return [layer["type"] for layer in export.describe(model)["layers"]]


# --- arrays -------------------------------------------------------------------------


def test_arrays_come_back(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {
        "images": rng.integers(0, 256, (3, 5), dtype="uint8"),
        "codes": rng.normal(size=(4, 2)),
        "vector": rng.normal(size=7).astype("float32"),
        "whole": np.arange(4),
    }
    export.write(tmp_path / "new" / "some.js", "some", {}, arrays)
    name, content = read(tmp_path / "new" / "some.js")
    assert name == "some" and content["models"] == {}
    for key, array in arrays.items():
        found = numbers(content["arrays"][key])
        assert found.shape == array.shape
        assert found.dtype == ("uint8" if key == "images" else "float16")
        np.testing.assert_allclose(found, array, rtol=2**-11)


def test_a_file_is_one_line_of_ascii(tmp_path):
    export.write(tmp_path / "a.js", "a", {"m": networks.dense_decoder(2)}, {})
    text = (tmp_path / "a.js").read_text("utf-8")
    assert text.isascii() and text.count("\n") == 1


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e5])
def test_numbers_that_16_bits_cannot_hold_are_refused(tmp_path, value):
    with pytest.raises(ValueError, match="finite and below 65,504"):
        export.write(tmp_path / "a.js", "a", {}, {"x": np.full(3, value)})
    model = sequential((2,), L.Dense(3))
    model.set_weights([np.full((2, 3), value), np.zeros(3)])
    for function in (export.rounded, export.describe):
        with pytest.raises(ValueError, match="finite and below 65,504"):
            function(model)


@pytest.mark.parametrize(
    ("file", "name"), [("a.js", "b"), ("a.json", "a"), ("a-b.js", "a-b"), ("a", "a")]
)
def test_file_and_name_must_fit(tmp_path, file, name):
    with pytest.raises(ValueError, match="path must end in the name"):
        export.write(tmp_path / file, name, {}, {})


# --- rounding -----------------------------------------------------------------------


def test_rounded_weights_are_those_that_are_written():
    model = networks.batchnorm_encoder(8, (4, 4, 4))
    rng = np.random.default_rng(0)
    model.set_weights([rng.random(w.shape) for w in model.get_weights()])
    before = [w.copy() for w in model.get_weights()]
    copy = export.rounded(model)
    for mine, old, new in zip(
        model.get_weights(), before, copy.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(mine, old)  # the model itself stays
        if old.ndim > 1:
            np.testing.assert_array_equal(new, old.astype("float16"))
            assert not np.array_equal(new, old)
        else:
            np.testing.assert_array_equal(new, old)
    assert export.describe(copy) == export.describe(model)


def test_kernels_and_biases_are_where_keras_has_them():
    model = sequential((6, 6, 2), L.Conv2D(3, 2, activation="relu"), L.Flatten())
    model.add(L.Dense(4, use_bias=False, activation="softmax"))
    _, conv, flat, dense = export.describe(model)["layers"]
    kernel, bias, last = model.get_weights()
    np.testing.assert_allclose(numbers(conv["kernel"]), kernel, atol=1e-3)
    np.testing.assert_allclose(numbers(conv["bias"]), bias)
    np.testing.assert_allclose(numbers(dense["kernel"]), last, atol=1e-3)
    assert "bias" not in dense and dense["activation"] == "softmax"
    assert flat == {"type": "reshape", "shape": [-1], "from": [1]}


@pytest.mark.parametrize(("center", "scale"), [(True, True), (False, False)])
def test_batch_normalisation_becomes_scale_and_shift(center, scale):
    layer = L.BatchNormalization(center=center, scale=scale, epsilon=0.01)
    model = sequential((5,), layer)
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.5, 2, w.shape) for w in model.get_weights()])
    (_, written) = export.describe(model)["layers"]
    x = rng.normal(size=(3, 5)).astype("float32")
    ours = x * numbers(written["scale"]) + numbers(written["shift"])
    np.testing.assert_allclose(ours, model(x), rtol=1e-5, atol=1e-6)


# --- structure ----------------------------------------------------------------------


def test_nested_models_become_one_list_and_noise_goes():
    inner = sequential((4,), L.Dropout(0.5), L.Dense(3), L.GaussianNoise(1.0))
    outer = keras.Sequential([keras.Input((4,)), inner, L.ReLU(), L.LeakyReLU(0.1)])
    described = export.describe(outer)["layers"]
    assert [layer["type"] for layer in described] == [
        "input", "dense", "activation", "activation",
    ]  # fmt: skip
    assert [layer["from"] for layer in described] == [[], [0], [1], [2]]
    assert [layer.get("slope") for layer in described[2:]] == [0, pytest.approx(0.1)]


def test_branches_name_their_sources():
    x = keras.Input((4,))
    a = L.Dense(3, name="a")(x)
    b = L.Dense(3, name="b")(x)
    model = keras.Model(x, L.Add()([b, L.ReLU()(a)]))
    layers = export.describe(model)["layers"]
    add = layers[-1]
    assert add["type"] == "add"
    first, second = (layers[i] for i in add["from"])
    np.testing.assert_allclose(
        numbers(first["kernel"]), model.get_layer("b").get_weights()[0], atol=1e-3
    )
    assert second["type"] == "activation"


def test_the_masked_autoencoder_is_written():
    encoder = mae.patch_encoder(7, d=8, blocks=2, heads=2)
    layers = export.describe(encoder)["layers"]
    assert [layer["shape"] for layer in layers[:2]] == [[None, 49], [None]]
    attention = [layer for layer in layers if layer["type"] == "attention"]
    assert len(attention) == 2
    assert attention[0]["query"]["kernel"]["shape"] == [8, 2, 4]
    (positions,) = [layer for layer in layers if layer["type"] == "positions"]
    assert positions["from"][1] == 1
    table = encoder.layers[[type(each) for each in encoder.layers].index(mae.Positions)]
    np.testing.assert_allclose(numbers(positions["table"]), table.table, rtol=1e-6)
    decoder = mae.patch_decoder(7, d=8, width=4, heads=2)
    assert kinds(decoder)[:5] == ["input", "input", "dense", "dense", "add"]


# --- refusals -----------------------------------------------------------------------


def twice():
    x, layer = keras.Input((4,)), L.Dense(4)
    return keras.Model(x, layer(layer(x)))


def two_outputs():
    x = keras.Input((4,))
    return keras.Model(x, [L.ReLU()(x), L.LeakyReLU()(x)])


def causal():
    x = keras.Input((4, 8))
    return keras.Model(x, L.MultiHeadAttention(2, 4)(x, x, use_causal_mask=True))


def no_bias():
    x = keras.Input((4, 8))
    return keras.Model(x, L.MultiHeadAttention(2, 4, use_bias=False)(x, x))


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: sequential((3, 4), L.LSTM(2)), "LSTM .*nn.js cannot compute it"),
        (lambda: sequential((3,), L.Dense(2, "gelu")), "activation must be one of"),
        (lambda: sequential((3,), L.ReLU(max_value=6)), "max_value must be None"),
        (lambda: sequential((4, 4, 2), L.Conv2D(2, 2, groups=2)), "groups must be 1"),
        (
            lambda: sequential((6, 6, 2), L.Conv2D(2, 2, dilation_rate=2)),
            r"dilation_rate must be \(1, 1\)",
        ),
        (
            lambda: sequential((6, 6, 2), L.Conv2D(2, 2, data_format="channels_first")),
            "data_format must be 'channels_last'",
        ),
        (
            lambda: sequential(
                (6, 6, 2), L.Conv2DTranspose(2, 3, strides=2, output_padding=1)
            ),
            "output_padding must be None",
        ),
        (
            lambda: sequential((4, 4, 2), L.BatchNormalization(axis=1)),
            "axis must be -1",
        ),
        (lambda: sequential((4, 2), L.LayerNormalization(axis=1)), "axis must be -1"),
        (
            lambda: sequential((4,), L.LayerNormalization(center=False)),
            "center must be True",
        ),
        (lambda: sequential((4,), L.Rescaling([1, 2, 3, 4])), "must be single numbers"),
        (
            lambda: sequential((4, 4, 2), L.GlobalAveragePooling2D(keepdims=True)),
            "keepdims must be False",
        ),
        (twice, "calls its layer .* several times"),
        (two_outputs, "must have one output, not 2"),
        (causal, "attention must look at all places"),
        (no_bias, "it must have biases"),
        (lambda: mae.image_encoder(mae.patch_encoder(7, 8, heads=2)), "cannot compute"),
        (lambda: keras.Sequential([L.Dense(2)]), "must be built"),
    ],
)
def test_what_a_page_cannot_compute_is_refused(make, why):
    with pytest.raises(ValueError, match=why):
        export.describe(make())
