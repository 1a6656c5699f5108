"""Live figures in a browser: networks that agree with Keras, figures that obey.

The pages are built here, each with one figure, and opened from a folder. Small models
stand in for the trained ones, so that what a figure should show is known; those of the
book are compared with Keras one by one. Needs Chromium and is skipped without it.
"""

import base64
import json
import re
import shutil
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from sslkit import data, export, mae

chromium = pytest.importorskip("chromium")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")
pytest.importorskip("jupyter_book")

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "_ext"))

import live_pages  # noqa: E402

LIVE = ROOT / "_static" / "live"
COMMITTED = [
    (file, name)
    for file in sorted((LIVE / "models").glob("*.js"))
    for name in json.loads(file.read_text("utf-8").split(", ", 1)[1][:-3])["models"]
]

pytestmark = chromium.needs_chromium
L = keras.layers


# --- Layers and models --------------------------------------------------------------


def sequential(shape, *layers):
    return keras.Sequential([keras.Input(shape), *layers])


def self_attention(heads, size):
    x = keras.Input((None, heads * size))
    return keras.Model(x, L.MultiHeadAttention(heads, size)(x, x))


def cross_attention():
    x, y, z = keras.Input((5, 6)), keras.Input((3, 4)), keras.Input((3, 7))
    return keras.Model([x, y, z], L.MultiHeadAttention(2, 3, value_dim=5)(x, y, z))


def attention_to_others():
    x, y = keras.Input((5, 6)), keras.Input((3, 4))
    return keras.Model([x, y], L.MultiHeadAttention(2, 3)(x, y))


def branches():
    x = keras.Input((6,))
    a, b = L.Dense(4, "tanh")(x), L.Dense(4, "relu")(x)
    return keras.Model(x, L.Add()([a, b, a]))


MODELS = {
    **{
        f"dense_{name}": lambda name=name: sequential((7,), L.Dense(5, name))
        for name in export.ACTIVATIONS
    },
    "softmax_of_large_numbers": lambda: sequential(
        (7,), L.Rescaling(200), L.Dense(5, "softmax")
    ),
    "dense_without_bias": lambda: sequential((7,), L.Dense(5, use_bias=False)),
    "dense_along_places": lambda: sequential((4, 7), L.Dense(5)),
    "conv_same": lambda: sequential((7, 8, 3), L.Conv2D(4, 3, padding="same")),
    "conv_valid": lambda: sequential((7, 8, 3), L.Conv2D(4, (3, 2))),
    "conv_strides": lambda: sequential(
        (7, 8, 3), L.Conv2D(4, 3, strides=2, padding="same", activation="relu")
    ),
    "conv_odd_strides": lambda: sequential(
        (9, 7, 2), L.Conv2D(3, (2, 4), strides=(3, 2), padding="same", use_bias=False)
    ),
    "conv_valid_strides": lambda: sequential((8, 8, 2), L.Conv2D(3, 3, strides=2)),
    "transposed_same": lambda: sequential(
        (4, 5, 3), L.Conv2DTranspose(2, 3, strides=2, padding="same")
    ),
    "transposed_even": lambda: sequential(
        (4, 5, 3), L.Conv2DTranspose(2, 4, strides=2, padding="same", activation="elu")
    ),
    "transposed_valid": lambda: sequential(
        (4, 5, 3), L.Conv2DTranspose(2, (5, 4), strides=(3, 2))
    ),
    "transposed_gaps": lambda: sequential(
        (3, 3, 2), L.Conv2DTranspose(2, 2, strides=3, padding="same", use_bias=False)
    ),
    "batch_norm": lambda: sequential((4, 4, 3), L.BatchNormalization()),
    "layer_norm": lambda: sequential((4, 6), L.LayerNormalization()),
    "activation": lambda: sequential((6,), L.Activation("silu"), L.Activation("tanh")),
    "relu": lambda: sequential((6,), L.ReLU(), L.LeakyReLU(0.3)),
    "leaky": lambda: sequential((6,), L.LeakyReLU(0.1), L.ReLU(negative_slope=0.5)),
    "reshape": lambda: sequential((12,), L.Reshape((2, -1, 3)), L.Flatten()),
    "global_pool": lambda: sequential((3, 4, 5), L.GlobalAveragePooling2D()),
    "max_pool": lambda: sequential((5, 7, 2), L.MaxPooling2D(2)),
    "max_pool_same": lambda: sequential(
        (5, 7, 2), L.MaxPooling2D(3, 2, padding="same")
    ),
    "average_pool": lambda: sequential((5, 7, 2), L.AveragePooling2D((2, 3), 1)),
    "average_pool_same": lambda: sequential(
        (5, 7, 2), L.AveragePooling2D(3, 2, padding="same")
    ),
    "rescaling": lambda: sequential((4,), L.Rescaling(2.5, -0.7)),
    "nested": lambda: sequential(
        (5,), sequential((5,), L.Dense(4), L.Dropout(0.5)), L.GaussianNoise(1.0)
    ),
    "branches": branches,
    "self_attention": lambda: self_attention(2, 4),
    "attention_to_others": attention_to_others,
    "cross_attention": cross_attention,
    "patch_encoder": lambda: mae.patch_encoder(7, d=8, blocks=2, heads=2),
    "patch_decoder": lambda: mae.patch_decoder(7, d=8, width=4, heads=2),
}
"""Every layer and setting that can be written, and how they are joined."""


def random_weights(model):
    # Not those of the start: biases of zero and unit variances would hide mistakes.
    rng = np.random.default_rng(0)
    for weight in model.weights:
        low = 0.5 if "variance" in weight.path or "gamma" in weight.path else -1
        weight.assign(rng.uniform(low, 1, weight.shape))
    return export.rounded(model)


def random_inputs(shapes, batch, rng):
    """Numbers for inputs of these shapes; places of patches for a shape `[None]`."""
    return [
        np.stack([rng.permutation(16)[:6] for _ in range(batch)])
        if list(shape) == [None]
        else rng.normal(size=(batch, *(n or 6 for n in shape))).astype("float32")
        for shape in shapes
    ]


RUN = """([file, name, inputs, batch]) => [...live.run(live.data(file).models[name],
    inputs.map(values => Float32Array.from(values)), batch)]"""


def run(page, file, name, inputs):
    flat = [np.ravel(values).tolist() for values in inputs]
    return np.array(page.evaluate(RUN, [file, name, flat, len(inputs[0])]))


@pytest.fixture(scope="module")
def models():
    return {name: random_weights(make()) for name, make in MODELS.items()}


@pytest.fixture(scope="module")
def bench(browser, models, tmp_path_factory):
    """A page with nothing but nn.js, the models above and those of the book."""
    folder = tmp_path_factory.mktemp("bench")
    export.write(folder / "layers.js", "layers", models, {})
    files = [LIVE / "nn.js", folder / "layers.js", *(LIVE / "models").glob("*.js")]
    scripts = "".join(f"<script src='{file.as_uri()}'></script>" for file in files)
    (folder / "bench.html").write_text(f"<!doctype html>{scripts}")
    page = browser.new_page()
    page.goto((folder / "bench.html").as_uri())
    yield page
    page.close()


@pytest.mark.parametrize("name", MODELS)
def test_a_page_computes_what_keras_computes(bench, models, name):
    model = models[name]
    shapes = [each.shape[1:] for each in model.inputs]
    inputs = random_inputs(shapes, 3, np.random.default_rng(1))
    expected = np.asarray(model(inputs if len(inputs) > 1 else inputs[0]))
    assert expected.std() > 1e-3  # or there would be nothing to see
    found = run(bench, "layers", name, inputs)
    np.testing.assert_allclose(found, expected.ravel(), rtol=1e-4, atol=1e-4)


def test_every_kind_of_layer_is_among_them(models):
    used = {type(part) for model in models.values() for part in model._flatten_layers()}
    assert set(export.KINDS) <= used


def test_all_numbers_of_16_bits_are_read(bench, tmp_path):
    every = np.arange(2**16, dtype="uint16").view("float16")
    every = every[np.isfinite(every)]
    export.write(tmp_path / "halves.js", "halves", {}, {"x": every})
    bench.add_script_tag(path=tmp_path / "halves.js")
    found = bench.evaluate("[...live.array(live.data('halves').arrays.x).values]")
    np.testing.assert_array_equal(np.array(found), every.astype("float64"))


def test_inputs_of_a_wrong_length_are_refused(bench):
    with pytest.raises(chromium.playwright.Error, match="cannot have 8 numbers"):
        run(bench, "layers", "dense_relu", [np.zeros((1, 8))])


def numbers(written):
    raw = base64.b64decode(written["data"])
    codes = {"uint8": "u1", "float16": "<f2", "float32": "<f4"}
    flat = np.frombuffer(raw, codes[written["type"]]).astype("float32")
    return flat.reshape(written["shape"])


def keras_answer(layer, inputs):
    """Compute one layer of a file with Keras's own layer, made from the file alone."""
    kind, x = layer["type"], inputs[0]
    weights = [numbers(layer[key]) for key in ("kernel", "bias") if key in layer]
    given = {"activation": layer.get("activation"), "use_bias": "bias" in layer}
    if layer.get("activation") == "leaky_relu":
        given["activation"] = lambda z: keras.ops.leaky_relu(z, layer["slope"])
    if kind == "dense":
        made = L.Dense(weights[0].shape[-1], **given)
    elif kind in ("conv", "conv_transpose"):
        transposed = kind == "conv_transpose"
        make = L.Conv2DTranspose if transposed else L.Conv2D
        filters = weights[0].shape[2 if transposed else 3]
        given |= {"strides": layer["strides"], "padding": layer["padding"]}
        made = make(filters, weights[0].shape[:2], **given)
    elif kind == "activation":
        made = L.Activation(given["activation"])
    elif kind == "attention":
        parts = [layer[name] for name in ("query", "key", "value", "output")]
        weights = [numbers(part[key]) for part in parts for key in ("kernel", "bias")]
        _, heads, size = weights[0].shape
        made = L.MultiHeadAttention(heads, size, weights[4].shape[2])
        made.build(*(each.shape for each in (*inputs, *inputs[1:])[:3]))
        made.set_weights(weights)
        return made(*inputs)
    elif kind == "layer_norm":
        made = L.LayerNormalization(epsilon=layer["epsilon"])
        weights = [numbers(layer["scale"]), numbers(layer["shift"])]
    elif kind == "max_pool":
        made = L.MaxPooling2D(layer["size"], layer["strides"], layer["padding"])
    elif kind == "average_pool":
        made = L.AveragePooling2D(layer["size"], layer["strides"], layer["padding"])
    else:
        simple = {
            "add": lambda: sum(inputs[1:], x),
            "global_average_pool": lambda: np.mean(x, axis=(1, 2)),
            "positions": lambda: (
                x
                + numbers(layer["table"])[
                    np.asarray(inputs[1], int) if inputs[1:] else slice(None)
                ]
            ),
            "rescaling": lambda: x * layer["scale"] + layer["offset"],
            "reshape": lambda: np.reshape(x, (len(x), *layer["shape"])),
            "scale": lambda: x * numbers(layer["scale"]) + numbers(layer["shift"]),
        }
        return simple[kind]()
    made.build(x.shape)
    made.set_weights(weights)
    return made(x)


@pytest.mark.parametrize(
    ("file", "name"), COMMITTED, ids=[f"{file.stem}-{name}" for file, name in COMMITTED]
)
def test_a_model_of_the_book_is_computed_as_keras_would(bench, file, name):
    text = file.read_text("utf-8")
    title, content = re.fullmatch(
        r'live\.define\("(\w+)", (\{.*\})\);\n', text
    ).groups()
    assert title == file.stem
    layers = json.loads(content)["models"][name]["layers"]
    shapes = [layer["shape"] for layer in layers if layer["type"] == "input"]
    rng = np.random.default_rng(2)
    inputs, answers = random_inputs(shapes, 2, rng), []
    for layer in layers:
        if layer["type"] == "input":
            answers.append(inputs[len(answers)])
        else:
            sources = [answers[i] for i in layer["from"]]
            answers.append(np.asarray(keras_answer(layer, sources)))
    found = run(bench, file.stem, name, inputs)
    np.testing.assert_allclose(found, answers[-1].ravel(), rtol=1e-4, atol=1e-4)


# --- Pages --------------------------------------------------------------------------


CODES = np.random.default_rng(3).normal(size=(3, 600, 2)).astype("float16")
LABELS = np.arange(600) % 10
PLANES = ("ae", "aae", "vae")


def telling_decoder():
    """A decoder whose picture tells its input: the first two pixels are the code."""
    model = sequential((2,), L.Dense(784, "sigmoid"))
    kernel, bias = np.zeros((2, 784)), np.full(784, -2.0)
    kernel[0, 0] = kernel[1, 1] = 1
    bias[:2] = 0
    model.set_weights([kernel, bias])
    return model


def stand_ins(folder, sample):
    """Write small models of known behaviour; return what is needed to predict them."""
    export.write(
        folder / "latent.js",
        "latent",
        {name: telling_decoder() for name in PLANES},
        {
            **{f"{name}_codes": code for name, code in zip(PLANES, CODES, strict=True)},
            "labels": LABELS.astype("uint8"),
        },
    )
    encoder = random_weights(
        sequential((28, 28, 1), L.Conv2D(4, 5, strides=4, activation="relu"),
                   L.Flatten(), L.Dense(8))
    )  # fmt: skip
    heads = random_weights(sequential((8,), L.Rescaling(0.02), L.Dense(10)))
    autoencoder = random_weights(sequential((784,), L.Dense(784, "sigmoid")))
    images = sample.x_train[:60]
    h = np.asarray(encoder(data.unit_interval(images)[..., None]))
    mean = h.mean(axis=0).astype("float16")
    features = h - mean
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    export.write(
        folder / "draw.js",
        "draw",
        {"encoder": encoder, "heads": heads, "autoencoder": autoencoder},
        {
            "bank": images.reshape(-1, 784),
            "bank_features": features,
            "bank_labels": sample.y_train[:60].astype("uint8"),
            "mean": mean,
        },
    )
    return {"encoder": encoder, "heads": heads, "autoencoder": autoencoder}


@pytest.fixture(scope="module")
def site(tmp_path_factory, sample):
    folder = live_pages.build(tmp_path_factory.mktemp("live"), ["latent", "draw"])
    models = stand_ins(folder / "_static" / "live" / "models", sample)
    return folder, models


@pytest.fixture
def open_page(browser, site):
    """Open the page of a figure; at the end of the test nothing may have gone wrong."""
    contexts, complaints = [], []

    def opened(name, width=1280, scheme="light", motion="reduce", **given):
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            reduced_motion=motion,
            has_touch=width < 600,
            **given,
        )
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda message: (
                complaints.append(message.text)
                if message.type in ("error", "warning")
                else None
            ),
        )
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith(("file:", "data:"))
                else complaints.append(request.url)
            ),
        )
        page.goto((site[0] / f"{name}.html").as_uri())
        page.locator("figure.live").scroll_into_view_if_needed()
        if given.get("java_script_enabled", True):
            page.wait_for_selector("figure.live[data-running]")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


def spot(locator, x, y):
    """A place within an element, in shares of its sides, in pixels of the page."""
    locator.scroll_into_view_if_needed()
    box = locator.bounding_box()
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def swipe(page, points):
    """Put a finger down, move it and lift it."""
    session = page.context.new_cdp_session(page)
    for kind, (x, y) in [("touchStart", points[0])] + [
        ("touchMove", point) for point in points[1:]
    ]:
        session.send(
            "Input.dispatchTouchEvent",
            {"type": kind, "touchPoints": [{"x": x, "y": y}]},
        )
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def settle(page):
    page.evaluate(
        "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )


def pixels(locator):
    """Red values of a picture of 28 x 28 pixels, 0 to 1."""
    # From a copy: Chromium warns of a canvas that is read several times.
    script = """canvas => {
        const copy = new OffscreenCanvas(28, 28).getContext("2d");
        copy.drawImage(canvas, 0, 0);
        return [...copy.getImageData(0, 0, 28, 28).data].filter((_, i) => i % 4 === 0);
    }"""
    return np.array(locator.evaluate(script)).reshape(28, 28) / 255


def says(page):
    """What the live region says once it has settled."""
    page.wait_for_timeout(900)
    return page.locator("[aria-live]").text_content()


@pytest.mark.parametrize("name", ["latent", "draw"])
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_jumps_and_nothing_is_too_wide(open_page, name, width):
    page = open_page(name, width, java_script_enabled=True)
    wide = "document.documentElement.scrollWidth"
    assert page.evaluate(wide) <= width
    stage, rem = page.locator(".live-stage"), 16
    which = "--live-wide" if width > 600 else "--live-narrow"
    style = page.locator("figure.live").get_attribute("style")
    kept = float(re.search(rf"{which}: ([\d.]+)rem", style)[1]) * rem
    height = stage.bounding_box()["height"]
    assert kept <= height <= kept + 1, f"{name} needs {height / rem:.1f} rem"


@pytest.mark.parametrize("name", ["latent", "draw"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(open_page, name, scheme):
    page = open_page(name, scheme=scheme)
    found = axe.Axe().run(page, context="figure.live", options={"preload": False})
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("name", ["latent", "draw"])
def test_targets_are_large_enough_for_a_finger(open_page, name):
    page = open_page(name, 390)
    script = """[...document.querySelectorAll('.live :is(button, input)')]
        .map(part => part.getBoundingClientRect())
        .filter(({ width, height }) => width < 44 || height < 44).length"""
    assert page.evaluate(script) == 0


@pytest.mark.parametrize("name", ["latent", "draw"])
def test_without_scripts_the_picture_stands_for_the_figure(open_page, name):
    page = open_page(name, java_script_enabled=False)
    assert page.locator(".live-stage img").get_attribute("alt")
    assert page.locator("figure noscript").is_visible()
    assert not page.locator(".live-help").is_visible()
    assert page.locator(".live canvas").count() == 0


def test_a_figure_that_cannot_be_loaded_keeps_its_picture(browser, site, tmp_path):
    shutil.copytree(site[0], tmp_path / "html")
    (tmp_path / "html" / "_static" / "live" / "models" / "draw.js").unlink()
    page = browser.new_page()
    page.goto((tmp_path / "html" / "draw.html").as_uri())
    page.wait_for_selector("figure.live [role=status]")
    assert "could not be loaded" in page.locator("figure [role=status]").text_content()
    assert page.locator(".live-stage img").count() == 1
    page.close()


def test_figures_wait_until_they_are_near(browser, site, tmp_path):
    text = (site[0] / "latent.html").read_text("utf-8")
    far = text.replace("<figure", "<div style='height: 5000px'></div><figure", 1)
    (site[0] / "far.html").write_text(far, "utf-8")
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto((site[0] / "far.html").as_uri())
    page.wait_for_timeout(500)
    assert page.locator("figure[data-running]").count() == 0
    assert page.locator("script[src*='latent.js']").count() == 0
    page.locator("figure.live").scroll_into_view_if_needed()
    page.wait_for_selector("figure.live[data-running]")
    page.close()


# --- Three planes of codes ----------------------------------------------------------


def point_of(page, plane):
    """The code that a plane's decoder was last given, read from its picture."""
    settle(page)
    first = pixels(page.locator(".live-digit").nth(plane))[0, :2].clip(1e-3, 1 - 1e-3)
    return np.log(first / (1 - first))


def texts(page):
    settle(page)
    return page.locator(".latent-text").all_text_contents()


def test_the_distance_is_that_to_the_nearest_code(open_page):
    page = open_page("latent")
    canvas = page.locator(".latent-plane > canvas").nth(1)
    page.mouse.click(*spot(canvas, 0.35, 0.6))
    point, codes = point_of(page, 1), CODES[1].astype("float64")
    distances = np.linalg.norm(codes - point, axis=1)
    between = np.linalg.norm(codes[:, None] - codes, axis=2)
    spacing = np.median(np.sort(between, axis=1)[:, 1])
    said = re.fullmatch(
        r"([\d.]+) spacings from the nearest code, a (\d)", texts(page)[1]
    )
    # A picture has 256 greys, so that the point is known to some hundredths.
    assert float(said[1]) == pytest.approx(distances.min() / spacing, abs=0.6)
    near = LABELS[distances < distances.min() + 0.04]
    assert int(said[2]) in near
    low, high = codes.min(axis=0), codes.max(axis=0)
    side = 1.1 * (high - low).max()
    corner = (low + high - side) / 2
    np.testing.assert_allclose(point, corner + side * np.array([0.35, 0.4]), atol=0.06)


def test_a_plane_is_operated_by_mouse(open_page):
    page = open_page("latent")
    canvas = page.locator(".latent-plane > canvas").nth(0)
    before = texts(page)
    page.mouse.move(*spot(canvas, 0.9, 0.9))
    assert texts(page) == before  # not pressed
    page.mouse.down()
    pressed = point_of(page, 0)
    page.mouse.move(*spot(canvas, 0.1, 0.9))
    dragged = point_of(page, 0)
    page.mouse.up()
    page.mouse.move(*spot(canvas, 0.5, 0.5))
    assert dragged[0] < pressed[0] - 1 and abs(dragged[1] - pressed[1]) < 0.1
    np.testing.assert_array_equal(point_of(page, 0), dragged)
    assert texts(page)[0] != before[0] and texts(page)[1:] == before[1:]


def test_a_plane_is_operated_by_touch(open_page):
    page = open_page("latent", 390)
    canvas = page.locator(".latent-plane > canvas").nth(2)
    page.touchscreen.tap(*spot(canvas, 0.3, 0.8))
    tapped = point_of(page, 2)
    path = [spot(canvas, x, 0.8 - x / 2) for x in (0.3, 0.5, 0.7, 0.8)]
    before = page.evaluate("scrollY")
    swipe(page, path)
    moved = point_of(page, 2) - tapped
    assert moved[0] > 0.5 and moved[1] > 0.2
    assert page.evaluate("scrollY") == before


def test_a_plane_is_operated_by_keyboard(open_page):
    page = open_page("latent")
    page.locator(".latent-plane > canvas").nth(0).focus()
    start = point_of(page, 0)
    for key, axis, sign in [
        ("ArrowRight", 0, 1),
        ("ArrowLeft", 0, -1),
        ("ArrowUp", 1, 1),
        ("ArrowDown", 1, -1),
    ]:
        page.keyboard.press(f"Shift+{key}")
        step = point_of(page, 0) - start
        assert sign * step[axis] > 0.2 and abs(step[1 - axis]) < 0.05
        back = {"Right": "Left", "Left": "Right", "Up": "Down", "Down": "Up"}
        for _ in range(5):
            page.keyboard.press(f"Arrow{back[key.removeprefix('Arrow')]}")
        np.testing.assert_allclose(point_of(page, 0), start, atol=0.03)
    for _ in range(15):
        page.keyboard.press("Shift+ArrowLeft")
    edge = point_of(page, 0)
    page.keyboard.press("Shift+ArrowLeft")
    np.testing.assert_array_equal(point_of(page, 0), edge)


def test_the_slider_goes_from_code_to_code(open_page):
    page = open_page("latent")
    slider = page.get_by_role("slider")
    a, b = re.search(r"From a (\d) to a (\d)", page.text_content("figure")).groups()
    slider.focus()
    page.keyboard.press("Home")
    assert all(text.startswith("0.0 ") and text.endswith(a) for text in texts(page))
    starts = [point_of(page, plane) for plane in range(3)]
    page.keyboard.press("End")
    assert all(text.startswith("0.0 ") and text.endswith(b) for text in texts(page))
    ends = [point_of(page, plane) for plane in range(3)]
    slider.fill("0.5")
    for plane in range(3):
        middle = (starts[plane] + ends[plane]) / 2
        np.testing.assert_allclose(point_of(page, plane), middle, atol=0.06)
    said = says(page)
    assert said.count("spacings from the nearest code") == 3


def test_a_screen_reader_is_told_once(open_page):
    page = open_page("latent")
    assert says(page) == ""
    page.evaluate("""window.told = []; new MutationObserver(() => told.push(
        document.querySelector('[aria-live]').textContent)).observe(
        document.querySelector('[aria-live]'), { childList: true })""")
    page.locator(".latent-plane > canvas").nth(1).focus()
    page.evaluate("""for (let i = 0; i < 12; i++) document.activeElement.dispatchEvent(
        new KeyboardEvent('keydown', { key: 'ArrowUp' }))""")
    said = says(page)
    assert page.evaluate("told") == [said]
    assert said == f"Adversarial autoencoder: {texts(page)[1]}."


def test_picking_out_a_digit_changes_the_maps(open_page):
    page = open_page("latent")
    canvas = page.locator(".latent-plane > canvas").nth(0)
    settle(page)
    before = canvas.screenshot()
    button = page.get_by_role("button", name="Pick out 3")
    other = page.get_by_role("button", name="Pick out 4")
    button.click()
    settle(page)
    assert button.get_attribute("aria-pressed") == "true"
    assert canvas.screenshot() != before
    other.click()
    assert button.get_attribute("aria-pressed") == "false"
    other.click()
    assert other.get_attribute("aria-pressed") == "false"
    settle(page)
    assert canvas.screenshot() == before


def test_the_point_travels_unless_motion_is_reduced(open_page):
    page = open_page("latent", motion="no-preference")
    stop = page.get_by_role("button", name="Stop")
    seen = set()
    for _ in range(8):
        seen.add(texts(page)[0])
        page.wait_for_timeout(100)
    assert len(seen) > 2
    stop.click()
    here = texts(page)
    page.wait_for_timeout(400)
    assert texts(page) == here
    assert says(page) == ""  # nobody is told what they did not ask for
    calm = open_page("latent")
    here = texts(calm)
    calm.wait_for_timeout(400)
    assert texts(calm) == here
    calm.get_by_role("button", name="Travel").click()
    calm.wait_for_timeout(400)
    assert texts(calm) != here


def test_another_pair_is_of_two_digits(open_page):
    page = open_page("latent")
    seen = set()
    for _ in range(6):
        page.get_by_role("button", name="Another pair").click()
        seen.add(re.search(r"From a (\d) to a (\d)", page.text_content("figure"))[0])
    assert len(seen) > 1
    assert all(pair[7] != pair[-1] for pair in seen)


# --- Draw a digit -------------------------------------------------------------------


def seen(page):
    """The drawing after it was centred and scaled."""
    settle(page)
    settle(page)
    return pixels(page.get_by_role("img", name="centred and scaled"))


def check_is_normal(image):
    rows, columns = np.nonzero(image > 0.02)
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert 18 <= max(height, width) <= 22
    weights = image / image.sum()
    centre = [(weights.sum(axis=axis) * (np.arange(28) + 0.5)).sum() for axis in (1, 0)]
    np.testing.assert_allclose(centre, 14.5, atol=0.75)  # as in MNIST


def clear(page):
    page.get_by_role("button", name="Clear").click()
    assert not seen(page).any()


def test_a_drawing_by_mouse_is_centred_and_scaled(open_page):
    page = open_page("draw")
    check_is_normal(seen(page))  # what is drawn at the start
    clear(page)
    pad = page.locator(".draw-pad")
    page.mouse.move(*spot(pad, 0.1, 0.1))
    page.mouse.move(*spot(pad, 0.2, 0.1))
    assert not seen(page).any()
    page.mouse.down()
    page.mouse.move(*spot(pad, 0.2, 0.5), steps=5)
    first = seen(page)
    page.mouse.move(*spot(pad, 0.4, 0.5), steps=5)
    page.mouse.up()
    image = seen(page)
    check_is_normal(image)
    assert not np.array_equal(first, image)
    # An L: nothing above its foot, to the right of its stroke.
    rows, columns = (np.ptp(np.nonzero(image > 0.02)[axis]) for axis in (0, 1))
    top, left = (np.nonzero(image > 0.02)[axis].min() for axis in (0, 1))
    assert image[top : top + rows // 2, left + columns // 2 :].sum() == 0


def test_a_drawing_by_touch(open_page):
    page = open_page("draw", 390)
    clear(page)
    pad = page.locator(".draw-pad")
    path = [spot(pad, 0.5, y) for y in (0.1, 0.3, 0.5, 0.7, 0.9)]
    before = page.evaluate("scrollY")
    swipe(page, path)
    image = seen(page)
    check_is_normal(image)
    assert np.ptp(np.nonzero(image > 0.02)[0]) > 3 * np.ptp(np.nonzero(image > 0.02)[1])
    assert page.evaluate("scrollY") == before


def test_a_drawing_by_keyboard(open_page):
    page = open_page("draw")
    clear(page)
    pad = page.locator(".draw-pad")
    pad.focus()
    page.keyboard.press("ArrowLeft")
    assert not seen(page).any()
    assert says(page) == "Row 15, column 14, pen lifted."
    page.keyboard.press("Space")
    for _ in range(3):
        page.keyboard.press("Shift+ArrowUp")
    for _ in range(8):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    image = seen(page)
    check_is_normal(image)
    page.keyboard.press("ArrowDown")
    np.testing.assert_array_equal(seen(page), image)
    assert says(page).startswith("Row 4, column 22")
    page.keyboard.press("Delete")
    assert not seen(page).any()


def test_an_example_is_shown_as_it_is_and_judged_as_keras_judges(
    open_page, site, sample
):
    page, (_, models) = open_page("draw"), site
    (n, second, *_) = np.flatnonzero(sample.y_train[:60] == 7)
    page.get_by_role("button", name="An example of 7").click()
    image = data.unit_interval(sample.x_train[[n]])[0]
    np.testing.assert_allclose(seen(page), image, atol=0.5 / 255)

    h = np.asarray(models["encoder"](image[None, ..., None]))
    share = np.asarray(keras.ops.softmax(models["heads"](h)))[0]
    told = page.locator(".draw-share").all_text_contents()
    np.testing.assert_allclose(
        [float(text.removesuffix(" %")) for text in told], 100 * share, atol=0.51
    )
    rebuilt = np.asarray(models["autoencoder"](image.reshape(1, 784)))
    np.testing.assert_allclose(
        pixels(page.get_by_role("img", name="rebuilt")),
        rebuilt.reshape(28, 28),
        atol=1 / 255,
    )
    near = page.locator(".draw-near li")
    assert near.count() == 8
    assert near.nth(0).text_content() == "7: 1.00"
    np.testing.assert_allclose(pixels(near.nth(0).locator("canvas")), image, atol=2e-3)
    cosines = [float(text.split(": ")[1]) for text in near.all_text_contents()]
    assert cosines == sorted(cosines, reverse=True)

    page.get_by_role("button", name="An example of 7").click()
    image = data.unit_interval(sample.x_train[[second]])[0]
    np.testing.assert_allclose(seen(page), image, atol=0.5 / 255)
    assert says(page).startswith("Classifier: ")


def test_a_drawing_draws_itself_unless_motion_is_reduced(open_page):
    page = open_page("draw", motion="no-preference")
    early = seen(page)
    page.wait_for_timeout(600)
    assert not np.array_equal(seen(page), early)
    assert says(page) == ""
    # The first press takes the pad over.
    page.mouse.click(*spot(page.locator(".draw-pad"), 0.5, 0.5))
    dot = seen(page)
    page.wait_for_timeout(300)
    np.testing.assert_array_equal(seen(page), dot)
    calm = open_page("draw")
    done = seen(calm)
    calm.wait_for_timeout(300)
    np.testing.assert_array_equal(seen(calm), done)
