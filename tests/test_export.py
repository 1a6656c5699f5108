"""What is written for a page, read back without `sslkit.export`.

That a page computes what Keras computes is tested in `test_live_browser.py`.
"""

import base64
import inspect
import json
import re
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
from scipy.special import softmax

from sslkit import export, mae, networks

ROOT = Path(__file__).parent.parent
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
    file = tmp_path / "two" / "new" / "some.js"
    export.write(file, "some", {}, arrays)
    name, content = read(file)
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


@pytest.mark.filterwarnings("error::RuntimeWarning")  # the refusal says it all
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e5])
def test_numbers_that_16_bits_cannot_hold_are_refused(tmp_path, value):
    with pytest.raises(ValueError, match=r"finite and below 65,504 .* shape \(3,\)"):
        export.write(tmp_path / "a.js", "a", {}, {"x": np.full(3, value)})
    model = sequential((2,), L.Dense(3))
    model.set_weights([np.full((2, 3), value), np.zeros(3)])
    for function in (export.rounded, export.describe):
        with pytest.raises(ValueError, match="finite and below 65,504"):
            function(model)


@pytest.mark.parametrize("layer", [L.BatchNormalization, L.LayerNormalization])
def test_normalisations_that_have_diverged_are_refused(layer):
    model = sequential((3,), layer())
    good = model.get_weights()
    for i in range(len(good)):
        bad = [w * np.nan if i == j else w for j, w in enumerate(good)]
        model.set_weights(bad)
        with pytest.raises(ValueError, match="must be finite"):
            export.describe(model)


@pytest.mark.parametrize(
    ("file", "name"), [("a.js", "b"), ("a.json", "a"), ("a-b.js", "a-b"), ("a", "a")]
)
def test_file_and_name_must_fit(tmp_path, file, name):
    with pytest.raises(ValueError, match=f"path must end in .* for the name {name!r}"):
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


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("scale", [True, False])
def test_batch_normalisation_becomes_scale_and_shift(center, scale):
    layer = L.BatchNormalization(center=center, scale=scale, epsilon=0.01)
    model = sequential((5,), layer)
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.5, 2, w.shape) for w in model.get_weights()])
    (_, written) = export.describe(model)["layers"]
    x = rng.normal(size=(3, 5)).astype("float32")
    ours = x * numbers(written["scale"]) + numbers(written["shift"])
    np.testing.assert_allclose(ours, model(x), rtol=1e-5, atol=1e-6)


def test_layer_normalisation_is_written_as_it_is():
    model = sequential((4, 6), L.LayerNormalization(epsilon=0.5))
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.5, 2, w.shape) for w in model.get_weights()])
    (_, written) = export.describe(model)["layers"]
    x = rng.normal(size=(3, 4, 6)).astype("float32")
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    ours = (x - mean) / np.sqrt(variance + written["epsilon"])
    ours = ours * numbers(written["scale"]) + numbers(written["shift"])
    np.testing.assert_allclose(ours, model(x), rtol=1e-5, atol=1e-6)


def test_attention_is_written_by_its_parts():
    x, y, z = keras.Input((5, 6)), keras.Input((3, 4)), keras.Input((3, 7))
    model = keras.Model([x, y, z], L.MultiHeadAttention(2, 3, value_dim=5)(x, y, z))
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    *_, written = export.describe(model)["layers"]
    inputs = [rng.normal(size=(2, *each.shape[1:])) for each in model.inputs]

    def dense(name, values, pattern):
        kernel = numbers(written[name]["kernel"])
        return np.einsum(pattern, values, kernel) + numbers(written[name]["bias"])

    asking, answering, keys = (inputs[place] for place in written["from"])
    query, key = (
        dense(name, values, "nti,ihd->nthd")
        for name, values in (("query", asking), ("key", keys))
    )
    weights = softmax(np.einsum("nqhd,nkhd->nhqk", query, key) / np.sqrt(3), axis=-1)
    value = dense("value", answering, "nti,ihd->nthd")
    mixed = np.einsum("nhqk,nkhd->nqhd", weights, value)
    ours = dense("output", mixed, "nqhd,hdo->nqo")
    np.testing.assert_allclose(ours, model(inputs), rtol=0.02, atol=0.02)


@pytest.mark.parametrize(
    ("layer", "settings"),
    [
        (
            L.Conv2D(3, 2, strides=(3, 2), padding="same", activation="elu"),
            {"type": "conv", "strides": [3, 2], "padding": "same", "activation": "elu"},
        ),
        (
            L.Conv2DTranspose(3, 2, strides=(3, 2)),
            {
                "type": "conv_transpose",
                "strides": [3, 2],
                "padding": "valid",
                "activation": "linear",
            },
        ),
        (
            L.MaxPooling2D((2, 3), (3, 1), padding="same"),
            {"type": "max_pool", "size": [2, 3], "strides": [3, 1], "padding": "same"},
        ),
        (
            L.AveragePooling2D((3, 2)),
            {
                "type": "average_pool",
                "size": [3, 2],
                "strides": [3, 2],
                "padding": "valid",
            },
        ),
        (L.Reshape((3, -1)), {"type": "reshape", "shape": [3, -1]}),
        (L.Rescaling(3, -1), {"type": "rescaling", "scale": 3.0, "offset": -1.0}),
        (L.ReLU(), {"type": "activation", "activation": "leaky_relu", "slope": 0.0}),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_settings_are_those_of_the_layer(layer, settings):
    (_, written) = export.describe(sequential((6, 6, 2), layer))["layers"]
    found = {key: written[key] for key in written if key not in ("kernel", "bias")}
    assert found == {**settings, "from": [0]}


def test_activations_are_those_of_the_page():
    script = (ROOT / "_static" / "live" / "nn.js").read_text("utf-8")
    (table,) = re.findall(r"const activations = \{\n(.*?)\n  \};", script, re.DOTALL)
    simple = re.findall(r"^    (\w+)[:,]", table, re.MULTILINE)
    assert set(export.ACTIVATIONS) == {*simple, "linear", "softmax"}


def test_the_slope_of_a_named_activation_is_that_of_keras():
    written = export.describe(sequential((2,), L.Dense(3, "leaky_relu")))["layers"][1]
    assert -written["slope"] == pytest.approx(float(keras.activations.leaky_relu(-1.0)))


# --- structure ----------------------------------------------------------------------


def test_nested_models_become_one_list_and_noise_goes():
    noise = L.GaussianNoise(1.0), L.GaussianDropout(0.5)
    inner = sequential((4,), L.Dropout(0.5), L.Dense(3), *noise)
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


def test_models_on_branches_know_their_sources():
    x = keras.Input((3, 3, 4))
    first, second = L.Dense(2)(x), L.Dense(2)(x)
    nothing = keras.Input((3, 3, 2))
    silent = keras.Model(nothing, L.SpatialDropout2D(0.5)(nothing))
    a, b = sequential((3, 3, 2), L.ReLU())(first), silent(second)
    layers = export.describe(keras.Model(x, L.Add()([a, b])))["layers"]
    assert [layer["from"] for layer in layers] == [[], [0], [0], [1], [3, 2]]


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


def key_by_name():
    x, y = keras.Input((4, 8)), keras.Input((4, 8))
    return keras.Model([x, y], L.MultiHeadAttention(2, 4)(x, key=y, value=x))


def sliding():
    if "sliding_window" not in inspect.signature(L.MultiHeadAttention).parameters:
        pytest.skip("of newer versions of Keras")
    x = keras.Input((4, 8))
    return keras.Model(x, L.MultiHeadAttention(2, 4, sliding_window=2)(x, x))


def root_mean_square():
    with warnings.catch_warnings(action="ignore"):  # newer versions of Keras warn
        return sequential((4,), L.LayerNormalization(rms_scaling=True))


def class_of_models():
    model = Halves(keras.Sequential([L.Dense(2)]))
    model(np.zeros((1, 2)))
    return model


class Halves(keras.Model):
    """A model that Keras cannot take apart."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def call(self, x):
        return self.network(x) / 2


FIRST = {"data_format": "channels_first"}


def no_bias():
    x = keras.Input((4, 8))
    return keras.Model(x, L.MultiHeadAttention(2, 4, use_bias=False)(x, x))


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: sequential((3, 4), L.LSTM(2)), "LSTM .*nn.js cannot compute it"),
        (lambda: sequential((3,), L.Dense(2, "gelu")), "activation must be one of"),
        (lambda: sequential((3,), L.ReLU(max_value=6)), "max_value must be None"),
        (lambda: sequential((3,), L.ReLU(threshold=1)), "threshold must be 0"),
        (lambda: sequential((4, 4, 2), L.Conv2D(2, 2, groups=2)), "groups must be 1"),
        (
            lambda: sequential((6, 6, 2), L.Conv2D(2, 2, dilation_rate=2)),
            r"dilation_rate must be \(1, 1\)",
        ),
        (
            lambda: sequential((6, 6, 2), L.Conv2D(2, 2, **FIRST)),
            "data_format must be 'channels_last'",
        ),
        (lambda: sequential((6, 6, 2), L.Flatten(**FIRST)), "data_format must be"),
        (lambda: sequential((6, 6, 2), L.MaxPooling2D(**FIRST)), "data_format must be"),
        (
            lambda: sequential((6, 6, 2), L.GlobalAveragePooling2D(**FIRST)),
            "data_format must be",
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
        (
            lambda: sequential((4,), L.LayerNormalization(scale=False)),
            "scale must be True",
        ),
        (root_mean_square, "rms_scaling must be False"),
        (lambda: sequential((2,), L.Rescaling([1, 2])), "must be single numbers"),
        (lambda: sequential((2,), L.Rescaling(1, [1, 2])), "must be single numbers"),
        (
            lambda: sequential((4, 4, 2), L.GlobalAveragePooling2D(keepdims=True)),
            "keepdims must be False",
        ),
        (twice, "calls its layer .* several times"),
        (two_outputs, "must have one output, not 2"),
        (causal, "must call its layer 'multi_head.*' with inputs alone, in order"),
        (key_by_name, "must call its layer 'multi_head.*' with inputs alone, in order"),
        (sliding, "attention must look at all places"),
        (no_bias, "it must have biases"),
        (lambda: mae.image_encoder(mae.patch_encoder(7, 8, heads=2)), "cannot compute"),
        (class_of_models, "Halves .* pass its networks"),
        (lambda: keras.Sequential([L.Dense(2)]), "must be built"),
    ],
)
def test_what_a_page_cannot_compute_is_refused(make, why):
    with pytest.raises(ValueError, match=why):
        export.describe(make())
