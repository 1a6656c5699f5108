"""The live figures `gan`, `views` and `mask` in a browser, from a folder.

What they compute is compared with TensorFlow, Keras and `sslkit`; what they show is
operated by keyboard, mouse and finger. Small models stand in for the trained ones.
Needs Chromium and is skipped without it.
"""

import base64
import io
import re
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops
from PIL import Image

from sslkit import augment, contrastive, data, export, mae, networks
from sslkit.gan import GAN

chromium = pytest.importorskip("chromium")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")

LIVE = Path(__file__).parent.parent / "_static" / "live"
pytestmark = chromium.needs_chromium

FIGURES = ("gan", "views", "mask")
PAGE = """<!doctype html><html lang="en-GB" data-theme="{theme}"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>{name}</title>
<link rel="stylesheet" href="live/live.css"><style>
html[data-theme=light] {{ --pst-color-primary: #0a7d91; --pst-color-text-base: #222832;
  --pst-color-text-muted: #48566b; --pst-color-border: #d1d5da; color-scheme: light;
  --pst-color-background: #ffffff; --pst-color-surface: #f3f4f5 }}
html[data-theme=dark] {{ --pst-color-primary: #3fb1c5; --pst-color-text-base: #ced6dd;
  --pst-color-text-muted: #9ca4af; --pst-color-border: #48566b; color-scheme: dark;
  --pst-color-background: #14181e; --pst-color-surface: #29313d }}
* {{ box-sizing: border-box }}
body {{ background: var(--pst-color-background); color: var(--pst-color-text-base);
  font: 16px/1.5 sans-serif; margin: 0 auto; max-width: 46rem }}
button, input, select {{ font: inherit }}
</style><main><h1>{name}</h1>
<figure class="live" data-live="{name}" {models} aria-label="{name}">
<div class="live-stage"></div><figcaption>A caption.</figcaption></figure>
<p style="height: 3000px">Text below.</p></main>
<script src="live/nn.js"></script><script src="live/figures.js"></script></html>"""


def shaken(model):
    """Give a model weights that hide no mistake, rounded as a page has them."""
    rng = np.random.default_rng(0)
    for weight in model.weights:
        low = 0.5 if "variance" in weight.path or "gamma" in weight.path else -0.5
        weight.assign(rng.uniform(low, 1 if low > 0 else 0.5, weight.shape))
    return export.rounded(model)


@pytest.fixture(scope="module")
def models():
    encoder = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(4, 5, strides=4),
            layers.Flatten(),
            layers.Dense(8),
        ]
    )
    return {
        "views": {
            "encoder": shaken(encoder),
            "projector": shaken(networks.mlp(8, (6,), 5)),
        },
        "mask": {
            "encoder": shaken(mae.patch_encoder(4, d=8, blocks=1, heads=2)),
            "decoder": shaken(mae.patch_decoder(4, d=8, width=8, heads=2)),
        },
    }


@pytest.fixture(scope="module")
def site(tmp_path_factory, models, sample):
    folder = tmp_path_factory.mktemp("site")
    (folder / "live").mkdir()
    for file in [*LIVE.glob("*.js"), *LIVE.glob("*.css")]:
        shutil.copy(file, folder / "live")
    flat = sample.x_test.reshape(-1, 784)
    arrays = {
        "views": {"images": flat[:40], "labels": sample.y_test[:40].astype("uint8")},
        "mask": {"images": flat[:24]},
    }
    for name, each in arrays.items():
        export.write(
            folder / "live" / "models" / f"{name}.js", name, models[name], each
        )
    for name in FIGURES:
        given = f'data-models="{name}"' if name in arrays else ""
        for theme in ("light", "dark"):
            text = PAGE.format(name=name, theme=theme, models=given)
            (folder / f"{name}-{theme}.html").write_text(text, "utf-8")
    return folder


@pytest.fixture
def open_page(browser, site):
    """Open the page of a figure; at the end of the test nothing may have gone wrong."""
    contexts, complaints = [], []

    def opened(name, width=1280, theme="light", motion="reduce"):
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            reduced_motion=motion,
            has_touch=width < 600,
        )
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text))
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith("file:")
                else complaints.append(request.url)
            ),
        )
        page.goto((site / f"{name}-{theme}.html").as_uri())
        page.wait_for_selector("figure.live[data-running]")
        settle(page)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


def settle(page):
    page.evaluate(
        "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )


def button(page, name):
    return page.get_by_role("button", name=name, exact=True)


def choice(page, name):
    return page.get_by_role("combobox", name=name, exact=True)


def swipe(page, points):
    """Put a finger down, move it and lift it."""
    session = page.context.new_cdp_session(page)
    kinds = ["touchStart"] + ["touchMove"] * (len(points) - 1)
    for kind, (x, y) in zip(kinds, points, strict=True):
        where = {"type": kind, "touchPoints": [{"x": x, "y": y}]}
        session.send("Input.dispatchTouchEvent", where)
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def picture(locator):
    """What a canvas shows, to be compared."""
    return locator.evaluate("canvas => canvas.toDataURL()")


def pixels(locator):
    """Red values of a canvas of 28 x 28 pixels, 0 to 1."""
    content = base64.b64decode(picture(locator).partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(content)))[..., 0] / 255


# --- All three ----------------------------------------------------------------------


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_accessible_and_fits(open_page, name, width, theme):
    page = open_page(name, width, theme)
    found = axe.Axe().run(page, options={"preload": False})
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth") == width
    small = page.evaluate(
        """[...document.querySelectorAll('button, input, select')].filter(each => {
            const { width, height } = (each.closest('label') ?? each)
                .getBoundingClientRect();
            return Math.min(width, height) < 24;
        }).map(each => each.outerHTML)"""
    )
    assert small == []


# --- gan: what is computed ----------------------------------------------------------


@pytest.fixture(scope="module")
def rounds(browser, site):
    """Two networks of the page, both losses on one batch, and their gradients."""
    page = browser.new_page()
    page.goto((site / "gan-light.html").as_uri())
    page.wait_for_selector("figure.live[data-running]")
    rng = np.random.default_rng(0)
    real, z = rng.normal(size=(2, 16, 2))
    result = page.evaluate(
        """([real, z]) => {
            const { newGame, discriminatorLoss, generatorLoss } = live.gan;
            const game = newGame('gaussians', 3);
            const parts = player => game[player].layers
                .flatMap(layer => [layer.kernel, layer.bias]);
            // Biases of zero would hide mistakes.
            for (const player of ['generator', 'discriminator'])
                parts(player).forEach(({ value }, i) => value.forEach((_, k) => {
                    if (i % 2) value[k] = Math.sin(k + i);
                }));
            const take = (player, key) => parts(player).map(part => [...part[key]]);
            const [x, noise] = [real, z].map(each => Float64Array.from(each));
            const weights = {};
            for (const player of ['generator', 'discriminator'])
                weights[player] = take(player, 'value');
            const loss = discriminatorLoss(game, x, noise);
            const first = { loss, by: take('discriminator', 'gradient') };
            parts('discriminator').forEach(part => part.gradient.fill(0));
            const second = generatorLoss(game, noise);
            return { weights, first, second: { loss: second.loss,
                by: take('generator', 'gradient'), push: [...second.push],
                discriminator: take('discriminator', 'gradient') } };
        }""",
        [real.ravel().tolist(), z.ravel().tolist()],
    )
    game = GAN(networks.mlp(2, (32, 32), 2), networks.mlp(2, (32, 32)))
    for player in ("generator", "discriminator"):
        network = getattr(game, player)
        shapes = [weight.shape for weight in network.weights]
        parts = zip(result["weights"][player], shapes, strict=True)
        network.set_weights([np.reshape(each, shape) for each, shape in parts])
    page.close()
    return result, game, real.astype("float32"), z.astype("float32")


def same(found, expected):
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, np.ravel(theirs), rtol=1e-4, atol=1e-6)


def test_the_discriminators_gradient_is_that_of_tensorflow(rounds):
    result, game, real, z = rounds
    weights = [weight.value for weight in game.discriminator.weights]
    with tf.GradientTape() as tape:
        loss = game.discriminator_loss(real, game.generator(z))
    assert result["first"]["loss"] == pytest.approx(float(loss), rel=1e-5)
    same(result["first"]["by"], tape.gradient(loss, weights))


def test_the_generators_gradient_comes_through_the_discriminator(rounds):
    result, game, _, z = rounds
    weights = [weight.value for weight in game.generator.weights]
    with tf.GradientTape() as tape:
        loss = game.generator_loss(game.generator(z))
    assert result["second"]["loss"] == pytest.approx(float(loss), rel=1e-5)
    same(result["second"]["by"], tape.gradient(loss, weights))
    # Its own step moves the generator only.
    assert not any(np.any(each) for each in result["second"]["discriminator"])


def test_points_are_pushed_down_their_own_loss(rounds):
    result, game, _, z = rounds
    points = tf.constant(game.generator(z))
    with tf.GradientTape() as tape:
        tape.watch(points)
        loss = tf.reduce_sum(tf.nn.softplus(-game.discriminator(points)))
    same([result["second"]["push"]], [-tape.gradient(loss, points)])


def test_adam_is_that_of_keras(open_page):
    gradients = np.random.default_rng(1).normal(size=(4, 2, 6))
    moved = open_page("gan").evaluate(
        """gradients => {
            const layers = live.gan.network([3, 2], () => 0.5);
            layers[0].bias.value.fill(0.25);
            const player = { layers, steps: 0 };
            for (const [kernel, bias] of gradients) {
                layers[0].kernel.gradient.set(kernel);
                layers[0].bias.gradient.set(bias.slice(0, 2));
                live.gan.adam(player, 0.01);
            }
            return [[...layers[0].kernel.value], [...layers[0].bias.value]];
        }""",
        gradients.tolist(),
    )
    variables = [keras.Variable(np.zeros(6)), keras.Variable(np.full(2, 0.25))]
    adam = keras.optimizers.Adam(0.01, beta_1=0.5)
    adam.build(variables)
    for kernel, bias in gradients:
        adam.apply([ops.array(kernel), ops.array(bias[:2])], variables)
    same(moved, [variable.numpy() for variable in variables])


@pytest.mark.parametrize("kind", ["gaussians", "moons", "circle"])
def test_data_cover_their_own_parts(open_page, kind):
    page = open_page("gan")
    found = page.evaluate(
        """kind => {
            const game = live.gan.newGame(kind, 0);
            const points = live.gan.draw(game.data, 4000, game.random);
            const none = new Float64Array(200).fill(9);
            return [game.data.parts, live.gan.coverage(game.data, points), [...points],
                live.gan.coverage(game.data, none)];
        }""",
        kind,
    )
    parts, whole, points, nowhere = found
    assert whole["parts"] == parts and 0.95 < whole["share"] <= 1
    assert nowhere == {"parts": 0, "share": 0}
    assert np.abs(points).max() < 3  # all within the plane that is shown


def test_modes_are_counted_as_in_the_chapter(open_page):
    points = np.random.default_rng(2).normal(0, 1.6, (300, 2))
    turn = 2 * np.pi * np.arange(8) / 8
    centres = 2 * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    near = np.linalg.norm(points[:, None] - centres, axis=2) < 0.3
    found = open_page("gan").evaluate(
        """points => live.gan.coverage(
            live.gan.DATA.gaussians, Float64Array.from(points))""",
        points.ravel().tolist(),
    )
    expected = int(np.sum(near.mean(axis=0) >= 0.01))
    assert 0 < expected < 8  # or the test would see no mistake
    assert found == {"parts": expected, "share": pytest.approx(near.any(1).mean())}


# --- gan: what is shown -------------------------------------------------------------


def played(page):
    return int(page.locator(".gan-numbers b").first.inner_text())


def wait_for_rounds(page, condition):
    page.wait_for_function(
        f"""() => {{
            const rounds = Number(document.querySelector('.gan-numbers b').textContent);
            return {condition};
        }}""",
        timeout=60_000,
    )


def test_who_asked_for_less_motion_sees_the_end_of_the_first_rounds_only(open_page):
    page = open_page("gan")
    page.evaluate(
        """() => {
            window.seen = [];
            new MutationObserver(() => seen.push(
                document.querySelector('.gan-numbers b').textContent
            )).observe(document.querySelector('.gan-numbers'), {
                childList: true, subtree: true });
        }"""
    )
    wait_for_rounds(page, "rounds === 300")
    assert set(page.evaluate("seen")) == {"300"}
    button(page, "Play").wait_for()
    assert "of 8 modes" in page.locator(".gan-numbers").inner_text()


def test_the_first_rounds_are_played_and_then_it_rests(open_page):
    page = open_page("gan", motion="no-preference")
    button(page, "Pause").wait_for()  # what moves by itself can be stopped
    wait_for_rounds(page, "rounds > 2 && rounds < 300")
    wait_for_rounds(page, "rounds === 300")
    button(page, "Play").wait_for()
    page.wait_for_timeout(200)
    assert played(page) == 300
    said = page.get_by_role("status")
    page.wait_for_function(
        "document.querySelector('[role=status]').textContent.startsWith('Round 300')"
    )
    assert re.search(r"discriminator \d\.\d\d, generator \d\.\d\d", said.inner_text())


def test_the_game_is_led_by_keyboard(open_page):
    page = open_page("gan")
    wait_for_rounds(page, "rounds === 300")
    button(page, "One round").focus()
    page.keyboard.press("Enter")
    assert played(page) == 301
    button(page, "Play").focus()
    page.keyboard.press(" ")
    wait_for_rounds(page, "rounds > 303")
    assert page.evaluate("document.activeElement.textContent") == "Pause"
    page.keyboard.press(" ")
    at = played(page)
    page.wait_for_timeout(200)
    assert played(page) == at
    button(page, "Restart").focus()
    page.keyboard.press("Enter")
    assert played(page) == 0


def test_a_seed_makes_the_same_game_again(open_page):
    page = open_page("gan")
    wait_for_rounds(page, "rounds === 300")
    plane = page.locator("canvas.gan-plane")

    def start(seed):
        page.get_by_label("Seed").fill(seed)
        page.get_by_label("Seed").press("Tab")
        settle(page)
        for _ in range(3):
            button(page, "One round").click()
        settle(page)
        return page.locator(".gan-numbers").inner_text(), picture(plane)

    first, other, again = (start(seed) for seed in ("5", "6", "5"))
    assert first == again
    assert first[1] != other[1]


def test_choices_of_the_game_change_it(open_page):
    page = open_page("gan")
    wait_for_rounds(page, "rounds === 300")

    def losses_after(**choices):
        for label, value in choices.items():
            choice(page, label.replace("_", " ")).select_option(value)
        button(page, "Restart").click()
        for _ in range(4):
            button(page, "One round").click()
        return page.locator(".gan-numbers").inner_text()

    seen = [
        losses_after(),
        losses_after(Learning_rate_of_the_generator="0.01"),
        losses_after(Learning_rate_of_the_discriminator="0.01"),
        losses_after(Steps_of_the_discriminator_a_round="5"),
        losses_after(Data="moons"),
    ]
    assert len(set(seen)) == len(seen)
    assert "of 16 stretches" in seen[-1]


def test_the_legend_switches_what_it_explains(open_page):
    page = open_page("gan")
    wait_for_rounds(page, "rounds === 300")
    plane = page.locator("canvas.gan-plane")
    settle(page)
    before = picture(plane)
    for box in page.get_by_role("checkbox").all():
        was = box.is_checked()
        box.focus()
        page.keyboard.press(" ")
        assert box.is_checked() != was
        settle(page)
        assert picture(plane) != before
        page.keyboard.press(" ")
        settle(page)
        assert picture(plane) == before


def test_slow_motion_takes_turns_and_shows_the_push(open_page):
    page = open_page("gan", 390)
    wait_for_rounds(page, "rounds === 300")
    choice(page, "Speed").select_option("slow")
    assert page.get_by_role("checkbox", name="pushed").is_checked()
    button(page, "Play").tap()
    for player in ("discriminator", "generator", "discriminator"):
        page.get_by_text(f"Next: a step of the {player}").wait_for()
    assert played(page) < 310
    button(page, "Pause").tap()
    assert page.locator(".gan-turn").inner_text() == ""


def test_it_rests_while_it_cannot_be_seen(open_page):
    page = open_page("gan")
    wait_for_rounds(page, "rounds === 300")
    button(page, "Play").click()
    wait_for_rounds(page, "rounds > 302")
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    page.wait_for_timeout(300)
    at = played(page)
    page.wait_for_timeout(300)
    assert played(page) == at
    page.evaluate("scrollTo(0, 0)")
    wait_for_rounds(page, f"rounds > {at}")


# --- views --------------------------------------------------------------------------


def some_views(count=6):
    rng = np.random.default_rng(4)
    return [
        {
            "degrees": rng.uniform(-90, 90),
            "right": rng.uniform(-6, 6),
            "down": rng.uniform(-6, 6),
            "size": rng.uniform(0.5, 1.6),
            "stretch": rng.uniform(0.6, 1.6),
            "shear": rng.uniform(-0.3, 0.3),
            "gain": rng.uniform(0.7, 1.3),
        }
        for _ in range(count)
    ]


def scales(view):
    return [view["size"] * view["stretch"] ** power for power in (0.5, -0.5)]


def matrices(views):
    return augment.affine_matrix(
        [view["degrees"] for view in views],
        [scales(view) for view in views],
        [view["shear"] for view in views],
        [[view["down"], view["right"]] for view in views],
        (28, 28),
    )


def test_a_view_is_what_the_package_makes_of_the_image(open_page, sample):
    views = some_views()
    images = data.unit_interval(sample.x_test[: len(views)])
    found = open_page("views").evaluate(
        """([images, views]) => images.map((image, i) =>
            [...live.views.warp(Float32Array.from(image), views[i])])""",
        [images.reshape(-1, 784).tolist(), views],
    )
    moved = ops.image.affine_transform(
        images[..., None], matrices(views), "bilinear", fill_mode="constant"
    )
    gain = np.array([view["gain"] for view in views])[:, None]
    expected = np.clip(gain * np.reshape(moved, (-1, 784)), 0, 1)
    assert np.abs(expected - images.reshape(-1, 784)).max() > 0.5
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_the_bend_is_that_of_the_package(open_page, sample):
    rng = np.random.default_rng(5)
    view, bend = some_views(1)[0], rng.normal(0, 1.2, (5, 5, 2)).astype("float32")
    image = data.unit_interval(sample.x_test[:1])

    class Known(augment.RandomElastic):
        def draw(self, batch):
            return {
                "degrees": [view["degrees"]],
                "scale": [scales(view)],
                "shear": [view["shear"]],
                "shift": [[view["down"], view["right"]]],
            }

        def draw_bend(self, batch, size):
            return ops.image.resize(bend[None], size, interpolation="bicubic")

    expected = np.ravel(Known(1.2, seed=0)(image, training=True)) * view["gain"]
    found = open_page("views").evaluate(
        """([image, view, bend]) => [...live.views.warp(Float32Array.from(image),
            { ...view, bend: Float32Array.from(bend) })]""",
        [image.ravel().tolist(), view, bend.ravel().tolist()],
    )
    np.testing.assert_allclose(found, np.clip(expected, 0, 1), atol=2e-3)


def test_views_are_drawn_from_the_ranges_of_the_training(open_page):
    drawn = open_page("views").evaluate(
        """Array.from({ length: 2000 }, () => {
            const view = live.views.drawView(Math.random);
            return { ...view, bend: [...view.bend] };
        })"""
    )
    warp, gain = contrastive.digit_views().layers
    size, stretch = (
        np.array([view[name] for view in drawn]) for name in ("size", "stretch")
    )
    ranges = {
        "degrees": (-warp.degrees, warp.degrees),
        "right": (-warp.shift, warp.shift),
        "down": (-warp.shift, warp.shift),
        "shear": (-warp.shear, warp.shear),
        "gain": (gain.low, gain.high),
    }
    values = {name: np.array([view[name] for view in drawn]) for name in ranges}
    for axis, power in (("vertical", 0.5), ("horizontal", -0.5)):
        ranges[axis], values[axis] = warp.scale, size * stretch**power
    for name, (low, high) in ranges.items():
        assert low <= values[name].min() and values[name].max() <= high, name
        assert values[name].mean() == pytest.approx(
            (low + high) / 2, abs=(high - low) / 20
        )
        assert values[name].std() == pytest.approx((high - low) / 12**0.5, rel=0.1)
    bends = np.array([view["bend"] for view in drawn])
    assert bends.shape == (2000, 50)
    assert bends.std() == pytest.approx(warp.bend, rel=0.05)


def cosine(a, b):
    return np.sum(a * b) / np.linalg.norm(a) / np.linalg.norm(b)


def numbers(page):
    settle(page)
    texts = page.locator(".views-number").all_inner_texts()
    return [float(each.replace("−", "-")) for each in texts]


def view_canvas(page, number):
    return page.get_by_role("group", name=f"View {number}").locator("canvas")


def test_bars_show_cosines_of_what_keras_makes_of_both_views(open_page, models):
    page = open_page("views")
    shown = numbers(page)
    views = np.stack([pixels(view_canvas(page, number)) for number in (1, 2)])
    h = np.asarray(models["views"]["encoder"](views[..., None]))
    z = np.asarray(models["views"]["projector"](h))
    expected = [cosine(*views.reshape(2, -1)), cosine(*h), cosine(*z)]
    np.testing.assert_allclose(shown, expected, atol=0.012)  # pictures have 8 bits
    others = page.locator(".views-others li")
    assert others.count() == 10
    first = pixels(others.first.locator("canvas"))
    both = np.stack([views[0], first])[..., None]
    z = np.asarray(models["views"]["projector"](models["views"]["encoder"](both)))
    label, value = others.first.inner_text().strip().split(": ")
    assert label == "0"
    assert float(value.replace("−", "-")) == pytest.approx(cosine(*z), abs=0.012)
    assert page.locator(".views-tick").count() == 3 * others.count()


def test_without_changes_both_views_are_the_image(open_page):
    page = open_page("views")
    image = pixels(page.locator(".views-image canvas"))
    for number in (1, 2):
        assert not np.array_equal(pixels(view_canvas(page, number)), image)
        button(page, f"Undo changes of view {number}").click()
        settle(page)
        np.testing.assert_allclose(pixels(view_canvas(page, number)), image, atol=0.005)
    assert numbers(page) == [1, 1, 1]


def test_sliders_obey_keys_mouse_and_fingers(open_page):
    for width in (1280, 390):
        page = open_page("views", width)
        for number in (1, 2):
            button(page, f"Undo changes of view {number}").click()
        settle(page)
        group = page.get_by_role("group", name="View 2")
        turn = group.get_by_role("slider", name="Turn")
        assert "trained" not in turn.get_attribute("aria-valuetext")
        if width == 1280:
            turn.focus()
            for _ in range(21):
                page.keyboard.press("ArrowRight")
            settle(page)
            assert turn.get_attribute("aria-valuetext") == "21°, beyond training"
            page.keyboard.press("ArrowLeft")
            settle(page)
            assert turn.get_attribute("aria-valuetext") == "20°"
        box = turn.bounding_box()
        middle = box["y"] + box["height"] / 2
        if width == 1280:
            page.mouse.click(box["x"] + 0.9 * box["width"], middle)
        else:
            turn.scroll_into_view_if_needed()
            box = turn.bounding_box()
            middle = box["y"] + box["height"] / 2
            page.touchscreen.tap(box["x"] + 0.9 * box["width"], middle)
        settle(page)
        assert 60 < float(turn.input_value()) < 90
        assert "beyond training" in group.inner_text()
        assert numbers(page)[0] < 1


def test_images_are_gone_through_and_views_drawn(open_page):
    page = open_page("views")
    which = page.locator(".views-image span")
    assert which.inner_text().startswith("Image 1 of 40")
    button(page, "Previous").click()
    assert which.inner_text().startswith("Image 40 of 40")
    button(page, "Next").click()
    button(page, "Next").click()
    assert which.inner_text().startswith("Image 2 of 40")
    button(page, "Any").click()
    assert not which.inner_text().startswith("Image 2 of 40")
    settle(page)
    before = picture(view_canvas(page, 1))
    button(page, "Draw two views as in training").focus()
    page.keyboard.press("Enter")
    settle(page)
    assert picture(view_canvas(page, 1)) != before
    assert "beyond training" not in page.locator(".views-panels").inner_text()
    page.wait_for_function(
        "document.querySelector('[role=status]').textContent.startsWith('Similarity')"
    )


# --- mask ---------------------------------------------------------------------------


def test_gaps_are_filled_as_the_package_fills_them(open_page, models, sample):
    model = mae.MaskedAutoencoder(*models["mask"].values())
    visible, mask = map(np.asarray, mae.random_mask(3, 49, 0.75, seed=1))
    images = data.unit_interval(sample.x_test[:3])
    guess = np.asarray(model.rebuild(images, visible, mask))
    expected = np.asarray(mae.unpatchify(guess)).reshape(3, 784)
    found, errors = open_page("mask").evaluate(
        """([images, masks]) => {
            const { models } = live.data('mask');
            const hidden = masks.map(mask => mask.map(Boolean));
            const guesses = images.map((image, i) =>
                live.mask.rebuild(models, Float32Array.from(image), hidden[i]));
            return [guesses.map(guess => [...guess]), guesses.map((guess, i) =>
                live.mask.errorOf(images[i], guess, hidden[i]))];
        }""",
        [images.reshape(3, 784).tolist(), mask.tolist()],
    )
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    for i in range(3):
        rows = slice(i, i + 1)
        error = mae.masked_error(mae.patchify(images[rows], 4), guess[rows], mask[rows])
        assert errors[i] == pytest.approx(float(error), rel=1e-3)


def hidden(page):
    settle(page)
    pressed = """[...document.querySelectorAll('.mask-patch')]
        .map(each => each.getAttribute('aria-pressed') === 'true')"""
    return np.array(page.evaluate(pressed)).reshape(7, 7)


def test_it_starts_with_three_quarters_hidden_and_compares_with_the_mean(
    open_page, sample
):
    page = open_page("mask")
    mask = hidden(page)
    assert mask.sum() == 37
    assert page.get_by_text("37 of 49 patches hidden").count() == 1
    gaps = np.kron(mask, np.ones((4, 4), bool))
    image = data.unit_interval(sample.x_test[:1])[0]
    mean = sample.x_test[1:24].mean(axis=0) / 255
    shown = page.locator(".mask-number").all_inner_texts()
    expected = np.mean((image - mean)[gaps] ** 2)
    assert float(shown[1]) == pytest.approx(expected, abs=0.0006)
    rebuilt = pixels(page.get_by_role("img", name="What the network rebuilds"))
    filled = pixels(
        page.get_by_role(
            "img", name="The gaps filled with the mean of the other images"
        )
    )
    for each in (rebuilt, filled):
        np.testing.assert_allclose(each[~gaps], image[~gaps], atol=0.005)
    np.testing.assert_allclose(filled[gaps], mean[gaps], atol=0.005)
    assert not np.allclose(rebuilt[gaps], filled[gaps], atol=0.05)


def middle_of(page, row, column):
    box = page.locator(".mask-patches").bounding_box()
    side = box["width"] / 7
    return box["x"] + (column + 0.5) * side, box["y"] + (row + 0.5) * side


def test_a_press_changes_one_patch_and_a_drag_paints(open_page):
    page = open_page("mask")
    page.locator(".mask-patches").scroll_into_view_if_needed()
    page.get_by_role("slider").fill("0")
    assert not hidden(page).any()
    assert page.locator(".mask-number").all_inner_texts() == ["–", "–"]
    page.mouse.click(*middle_of(page, 2, 3))
    assert np.argwhere(hidden(page)).tolist() == [[2, 3]]
    page.mouse.click(*middle_of(page, 2, 3))
    assert not hidden(page).any()
    page.mouse.move(*middle_of(page, 4, 1))
    page.mouse.down()
    page.mouse.move(*middle_of(page, 4, 5), steps=12)
    page.mouse.up()
    page.mouse.move(*middle_of(page, 6, 6))
    assert np.argwhere(hidden(page)).tolist() == [[4, i] for i in range(1, 6)]
    # A path that begins on a hidden patch shows, also where it leaves the image.
    page.mouse.move(*middle_of(page, 4, 4))
    page.mouse.down()
    page.mouse.move(*middle_of(page, 4, 9), steps=12)
    page.mouse.up()
    assert np.argwhere(hidden(page)).tolist() == [[4, 1], [4, 2], [4, 3]]


def test_a_finger_paints(open_page):
    page = open_page("mask", 390)
    page.get_by_role("slider").fill("0")
    page.locator(".mask-patches").scroll_into_view_if_needed()
    at = page.evaluate("scrollY")
    swipe(page, [middle_of(page, row, 2) for row in (1, 2, 3, 4)])
    assert np.argwhere(hidden(page)).tolist() == [[row, 2] for row in (1, 2, 3, 4)]
    assert page.evaluate("scrollY") == at
    page.touchscreen.tap(*middle_of(page, 2, 2))
    assert not hidden(page)[2, 2]


def test_patches_are_reached_by_keyboard(open_page):
    page = open_page("mask")
    patches = page.locator(".mask-patch")
    assert page.locator('.mask-patch[tabindex="0"]').count() == 1
    before = hidden(page)
    page.locator("body").click(position={"x": 1, "y": 1})
    page.keyboard.press("Tab")
    for key in ("ArrowRight", "ArrowDown", "ArrowDown", "ArrowLeft", "ArrowLeft"):
        page.keyboard.press(key)
    assert page.evaluate("document.activeElement.ariaLabel") == "Hide row 3, column 1"
    page.keyboard.press("Control+ArrowRight")  # not for the figure
    assert page.evaluate("document.activeElement.ariaLabel") == "Hide row 3, column 1"
    for key, turned in ((" ", True), ("Enter", False)):
        page.keyboard.press(key)
        expected = before.copy()
        expected[2, 0] ^= turned
        assert np.array_equal(hidden(page), expected)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.type") == "range"
    page.keyboard.press("End")
    assert hidden(page).all()  # and a guess from nothing at all
    page.keyboard.press("Home")
    assert not hidden(page).any()
    assert patches.count() == 49


def test_lots_and_images_are_changed(open_page):
    page = open_page("mask")
    first = hidden(page)
    button(page, "Hide at random").click()
    second = hidden(page)
    assert second.sum() == 37 and not np.array_equal(first, second)
    page.get_by_role("slider").fill("20")
    assert hidden(page).sum() == 20
    assert (hidden(page) <= second).all()  # fewer of the same
    whole = page.get_by_role("img", name="The whole image")
    before = picture(whole)
    button(page, "Previous image").click()
    assert page.get_by_text("Image 24 of 24").count() == 1
    settle(page)
    assert picture(whole) != before
    assert hidden(page).sum() == 20
    button(page, "Next image").click()
    settle(page)
    assert picture(whole) == before
    page.wait_for_function(
        "document.querySelector('[role=status]').textContent.includes('mean of')"
    )
