"""Trained networks for the figures that run in a page (appendix *Small models*).

One file holds what a figure needs: models and arrays, as the argument of a call of
`live.define`. A page that is opened from a folder may run scripts but read no data,
which is why the file is a script. `_static/live/nn.js` runs the models.
"""

import base64
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike, NDArray

from sslkit.mae import Positions

ACTIVATIONS = (
    "linear",
    "relu",
    "leaky_relu",
    "elu",
    "silu",
    "sigmoid",
    "softmax",
    "softplus",
    "tanh",
)
"""Names of the activations that a page can compute."""

Written = dict[str, Any]


def rounded(model: keras.Model) -> keras.Model:
    """Copy a model, with weights as exact as those that `write` stores.

    Kernels become numbers of 16 bits, of about three significant digits. Vectors, such
    as biases and the statistics of batch normalisation, are few and stay as they are.

    Args:
        model: A built model that `keras.models.clone_model` can copy.

    Returns:
        A model of the same architecture, whose answers a page repeats.

    Raises:
        ValueError: If a weight is not finite or too large for 16 bits.

    Example:
        >>> start = keras.initializers.Constant(0.1)
        >>> layer = keras.layers.Dense(1, kernel_initializer=start)
        >>> copy = rounded(keras.Sequential([keras.Input((1,)), layer]))
        >>> float(copy.get_weights()[0][0, 0])
        0.0999755859375
    """
    copy = keras.models.clone_model(model)
    copy.set_weights([_round(weight) for weight in model.get_weights()])
    return copy


def write(
    path: str | Path,
    name: str,
    models: Mapping[str, keras.Model],
    arrays: Mapping[str, ArrayLike],
) -> None:
    """Write models and arrays to one script that a page can load.

    Args:
        path: The file, called `name` and ending in `.js`. Its folder is made.
        name: What the page calls the file's content: `live.data(name)`.
        models: Built models: `Sequential`, nested or not, or functional with one
            output, of the layers that `describe` names. Dropout and noise do nothing.
        arrays: Arrays of bytes (`uint8`) stay what they are; other numbers get 16 bits.

    Raises:
        ValueError: If the file is not called `name`, a model has a layer or setting
            that a page cannot compute, or a number is not finite or too large.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> file = Path(folder.name) / "tiny.js"
        >>> write(file, "tiny", {}, {"labels": np.array([3, 1, 4], "uint8")})
        >>> print(file.read_text())
        live.define("tiny", {"models": {}, "arrays": {"labels": {"shape": [3], "type":
        "uint8", "data": "AwEE"}}});
        >>> folder.cleanup()
    """
    path = Path(path)
    if not name.isidentifier() or path.name != f"{name}.js":
        raise ValueError(
            f"path must end in the name and .js, got {str(path)!r} for the name "
            f"{name!r}: pass, say, 'models/latent.js' and 'latent'."
        )
    content = {
        "models": {key: describe(model) for key, model in models.items()},
        "arrays": {
            key: _bytes(value if value.dtype == np.uint8 else _round(value, least=0))
            for key, value in ((key, np.asarray(each)) for key, each in arrays.items())
        },
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'live.define("{name}", {json.dumps(content)});\n', "utf-8")


def describe(model: keras.Model) -> Written:
    """Describe a model in the terms of `nn.js`: a list of layers, one after another.

    Each layer names, in `from`, the places in the list of the layers that it takes its
    inputs from. The last one is the model's answer.

    Args:
        model: A built model of Dense, Conv2D, Conv2DTranspose, BatchNormalization,
            LayerNormalization, Activation, ReLU, LeakyReLU, Flatten, Reshape,
            GlobalAveragePooling2D, MaxPooling2D, AveragePooling2D, Rescaling, Add,
            MultiHeadAttention and `sslkit.mae.Positions`.

    Returns:
        A dictionary that JSON can hold; a number of dimension that is not fixed is
        `None` in the shape of an input.

    Raises:
        ValueError: As `write` does.

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.ReLU()])
        >>> describe(model)["layers"]
        [{'type': 'input', 'from': [], 'shape': [2]},
         {'type': 'activation', 'activation': 'leaky_relu', 'slope': 0.0, 'from': [0]}]
    """
    if not model.built:
        raise ValueError(
            f"model {model.name!r} must be built: begin it with a keras.Input."
        )
    layers: list[Written] = []
    for each in getattr(model, "inputs", ()):  # classes of models need not have any
        layers.append({"type": "input", "from": [], "shape": list(each.shape[1:])})
    _append(model, list(range(len(layers))), layers)
    return {"layers": layers}


def _append(layer: Any, sources: list[int], layers: list[Written]) -> int:
    """Append a layer, or those of a model, to the list; return where its answer is."""
    if isinstance(layer, keras.Sequential):
        for part in layer.layers:
            sources = [_append(part, sources, layers)]
        return sources[0]
    if isinstance(layer, keras.Model):
        return _append_graph(layer, sources, layers)
    if type(layer) in IDLE:
        return sources[0]
    if type(layer) not in KINDS:
        raise _refusal(layer, "nn.js cannot compute it")
    layers.append({**KINDS[type(layer)](layer), "from": sources})
    return len(layers) - 1


def _append_graph(model: Any, sources: list[int], layers: list[Written]) -> int:
    config = model.get_config() if hasattr(model, "inputs") else {}
    if "input_layers" not in config:
        raise _refusal(model, "pass its networks, which are Sequential or functional")
    # One input or output is written without the list around it.
    names = [
        [ends[0]] if isinstance(ends[0], str) else [end[0] for end in ends]
        for ends in (config["input_layers"], config["output_layers"])
    ]
    if len(names[1]) != 1:
        raise _refusal(model, f"it must have one output, not {len(names[1])}")
    places = dict(zip(names[0], sources, strict=True))
    parts = {part.name: part for part in model.operations}
    for entry in config["layers"]:
        if entry["name"] in places:
            continue
        if len(entry["inbound_nodes"]) != 1:
            raise _refusal(model, f"it calls its layer {entry['name']!r} several times")
        (node,) = entry["inbound_nodes"]
        if any(node["kwargs"].values()):  # such as causal masks, or a key by its name
            why = "with inputs alone, in order"
            raise _refusal(model, f"it must call its layer {entry['name']!r} {why}")
        inputs = [places[source] for source in _sources(node)]
        places[entry["name"]] = _append(parts[entry["name"]], inputs, layers)
    return places[names[1][0]]


def _sources(node: Any) -> list[str]:
    """Find the names of the layers whose answers a call was given, in order."""
    if isinstance(node, dict):
        if "keras_history" in node:
            return [node["keras_history"][0]]
        node = list(node.values())
    if isinstance(node, list | tuple):
        return [name for part in node for name in _sources(part)]
    return []


def _dense(layer: Any) -> Written:
    return {"type": "dense", **_weights(layer), **_activation(layer)}


def _convolution(layer: Any) -> Written:
    _check(layer, data_format="channels_last", dilation_rate=(1, 1))
    transposed = isinstance(layer, keras.layers.Conv2DTranspose)
    _check(layer, **({"output_padding": None} if transposed else {"groups": 1}))
    return {
        "type": "conv_transpose" if transposed else "conv",
        "strides": list(layer.strides),
        "padding": layer.padding,
        **_weights(layer),
        **_activation(layer),
    }


def _batch_norm(layer: Any) -> Written:
    # In inference: scale * x + shift.
    _check(layer, axis=-1)
    scale = 1 / np.sqrt(_numbers(layer.moving_variance) + layer.epsilon)
    if layer.scale:
        scale = scale * _numbers(layer.gamma)
    shift = -_numbers(layer.moving_mean) * scale
    if layer.center:
        shift = shift + _numbers(layer.beta)
    return {"type": "scale", **_affine(scale, shift)}


def _layer_norm(layer: Any) -> Written:
    if layer.axis not in (-1, [-1]):
        raise _refusal(layer, "its axis must be -1")
    _check(layer, scale=True, center=True)
    if getattr(layer, "rms_scaling", False):  # deprecated, so it may go
        raise _refusal(layer, "its rms_scaling must be False")
    written = {"type": "layer_norm", "epsilon": layer.epsilon}
    return {**written, **_affine(_numbers(layer.gamma), _numbers(layer.beta))}


def _affine(scale: NDArray[Any], shift: NDArray[Any]) -> Written:
    return {"scale": _bytes(_round(scale)), "shift": _bytes(_round(shift))}


def _activation(layer: Any) -> Written:
    name = keras.activations.serialize(layer.activation)
    if name not in ACTIVATIONS:
        raise _refusal(layer, f"its activation must be one of {', '.join(ACTIVATIONS)}")
    # Keras's own slope where an activation is given by its name.
    return {"activation": name, **({"slope": 0.2} if name == "leaky_relu" else {})}


def _relu(layer: Any) -> Written:
    if isinstance(layer, keras.layers.ReLU):
        _check(layer, max_value=None, threshold=0)
    slope = float(layer.negative_slope)
    return {"type": "activation", "activation": "leaky_relu", "slope": slope}


def _flatten(layer: Any) -> Written:
    _check(layer, data_format="channels_last")
    return {"type": "reshape", "shape": [-1]}


def _reshape(layer: Any) -> Written:
    return {"type": "reshape", "shape": list(layer.target_shape)}


def _pool(layer: Any) -> Written:
    _check(layer, data_format="channels_last")
    return {
        "type": "max_pool"
        if isinstance(layer, keras.layers.MaxPooling2D)
        else "average_pool",
        "size": list(layer.pool_size),
        "strides": list(layer.strides),
        "padding": layer.padding,
    }


def _global_pool(layer: Any) -> Written:
    _check(layer, data_format="channels_last", keepdims=False)
    return {"type": "global_average_pool"}


def _rescaling(layer: Any) -> Written:
    if np.ndim(layer.scale) or np.ndim(layer.offset):
        raise _refusal(layer, "its scale and offset must be single numbers")
    return {
        "type": "rescaling",
        "scale": float(layer.scale),
        "offset": float(layer.offset),
    }


def _attention(layer: Any) -> Written:
    if layer.get_config().get("sliding_window"):  # of newer versions of Keras
        raise _refusal(layer, "attention must look at all places")
    weights = layer.get_weights()
    if len(weights) != 8:
        raise _refusal(layer, "it must have biases")
    names = ("query", "key", "value", "output")
    pairs = zip(weights[::2], weights[1::2], strict=True)
    return {
        "type": "attention",
        **{
            name: {"kernel": _bytes(_round(kernel)), "bias": _bytes(_round(bias))}
            for name, (kernel, bias) in zip(names, pairs, strict=True)
        },
    }


def _positions(layer: Positions) -> Written:
    return {"type": "positions", "table": _bytes(np.asarray(layer.table, "float32"))}


def _weights(layer: Any) -> Written:
    kernel, *bias = layer.get_weights()
    written = {"kernel": _bytes(_round(kernel))}
    return {**written, "bias": _bytes(_round(bias[0]))} if bias else written


# Layers that do nothing in a trained model.
IDLE = (
    keras.layers.Dropout,
    keras.layers.SpatialDropout2D,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
)

# How to describe each layer that a page can compute.
KINDS: dict[type, Callable[[Any], Written]] = {
    keras.layers.Activation: lambda each: {"type": "activation", **_activation(each)},
    keras.layers.Add: lambda _: {"type": "add"},
    keras.layers.AveragePooling2D: _pool,
    keras.layers.BatchNormalization: _batch_norm,
    keras.layers.Conv2D: _convolution,
    keras.layers.Conv2DTranspose: _convolution,
    keras.layers.Dense: _dense,
    keras.layers.Flatten: _flatten,
    keras.layers.GlobalAveragePooling2D: _global_pool,
    keras.layers.LayerNormalization: _layer_norm,
    keras.layers.LeakyReLU: _relu,
    keras.layers.MaxPooling2D: _pool,
    keras.layers.MultiHeadAttention: _attention,
    keras.layers.ReLU: _relu,
    keras.layers.Rescaling: _rescaling,
    keras.layers.Reshape: _reshape,
    Positions: _positions,
}


def _numbers(variable: Any) -> NDArray[np.float32]:
    return keras.ops.convert_to_numpy(variable).astype("float32")


def _round(values: Any, least: int = 2) -> NDArray[Any]:
    """Give numbers 16 bits if they have at least so many axes, and 32 if not."""
    values = np.asarray(values)
    with np.errstate(over="ignore"):  # what becomes infinite is refused below
        kept = values.astype("float16" if values.ndim >= least else "float32")
    if not np.isfinite(kept).all():
        raise ValueError(
            f"numbers must be finite and below 65,504 in size, got some of shape "
            f"{values.shape} that are not: scale them first."
        )
    return kept


def _bytes(values: NDArray[Any]) -> Written:
    little = values.astype(values.dtype.newbyteorder("<"))
    return {
        "shape": list(values.shape),
        "type": values.dtype.name,
        "data": base64.b64encode(little.tobytes()).decode("ascii"),
    }


def _check(layer: Any, **expected: Any) -> None:
    for setting, value in expected.items():
        if getattr(layer, setting) != value:
            raise _refusal(layer, f"its {setting} must be {value!r}")


def _refusal(layer: Any, why: str) -> ValueError:
    known = ", ".join(sorted(kind.__name__ for kind in KINDS))
    return ValueError(
        f"models must be made of layers that a page can compute, got the "
        f"{type(layer).__name__} {layer.name!r}: {why}. Known are {known}."
    )
