"""Pictures come as they are on the disk, in an order that depends on the seed alone."""

import json
import os
import shutil
import tracemalloc
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from sslkit import images
from sslkit.images import Array, Folder, open_images, read_labels


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def save(path, pixels, **settings):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **settings)
    return path


def fill(folder, count=12, shape=(16, 16), start=0):
    """Pictures that can be told apart by their grey level."""
    for i in range(start, start + count):
        save(folder / f"{i:02d}.png", np.full(shape, 10 * i, np.uint8))
    return folder


@pytest.fixture
def folder(tmp_path):
    return fill(tmp_path / "pictures")


def spoil(folder, *numbers):
    for i in numbers:
        (folder / f"{i:02d}.png").write_bytes(b"no picture")


# ------------------------------------------------------------------------- listing


def test_a_folder_is_listed_in_order_and_to_its_depth(tmp_path):
    names = ["b.png", "a/z.JPG", "a/b/c.bmp", "a b/ä ü.png", "Z.webp", "0/x.gif"]
    for name in names:
        save(tmp_path / name, noise(12, 12))
    for name in (".hidden.png", ".thumbnails/x.png", "a/.b.png"):
        save(tmp_path / name, noise(12, 12))
    for name in ("notes.txt", "a/table.csv", "png", "x.png.part", "film.mp4"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "empty").mkdir()
    source = open_images(tmp_path)
    assert source.names == sorted(names) and source.count == len(names)
    assert all(source.read(i) is not None for i in range(source.count))


@pytest.mark.skipif(os.name == "nt", reason="names are text on Windows")
def test_a_name_that_is_no_text_is_read(tmp_path):
    path = os.fsencode(tmp_path) + b"/M\xfcller.png"
    with open(path, "wb") as file:
        Image.fromarray(noise(12, 12)).save(file, "PNG")
    source = open_images(tmp_path)
    assert source.names == ["M\udcfcller.png"]
    assert source.read(0) is not None
    assert source.fingerprint().startswith("1 files, ")


def test_links_are_followed_and_circles_end(tmp_path):
    folder, elsewhere = tmp_path / "pictures", tmp_path / "elsewhere"
    save(folder / "a" / "x.png", noise(12, 12))
    save(elsewhere / "y.png", noise(12, 12))
    (folder / "linked").symlink_to(elsewhere)
    (folder / "z.png").symlink_to(elsewhere / "y.png")
    (folder / "a" / "up").symlink_to(folder)
    (folder / "a" / "here").symlink_to(".")
    (elsewhere / "back").symlink_to(folder / "a")
    (folder / "self.png").symlink_to("self.png")
    # What lies above is not entered again; by another way the same file counts twice.
    assert open_images(folder, bad=0.5).names == [
        *("a/x.png", "linked/back/x.png", "linked/y.png", "self.png", "z.png"),
    ]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_pipe_is_not_waited_for(folder):
    os.mkfifo(folder / "pipe.png")
    assert open_images(folder).count == 12


def test_a_folder_that_cannot_be_listed_is_named(folder, monkeypatch):
    (folder / "locked").mkdir()
    scandir = os.scandir

    def locked(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", locked)
    with pytest.raises(ValueError, match="locked cannot be listed: .*Permission"):
        open_images(folder)


def test_a_place_that_may_not_be_read_is_named(folder, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ValueError, match="pictures cannot be read: get leave"):
        open_images(folder)


def test_subfolders_are_classes_if_every_picture_lies_in_one(tmp_path):
    for name in ("cat/0.png", "cat/deep/1.png", "dog/2.png"):
        save(tmp_path / name, noise(12, 12))
    assert open_images(tmp_path).labels == ["cat", "cat", "dog"]
    save(tmp_path / "stray.png", noise(12, 12))
    assert open_images(tmp_path).labels is None


def test_a_single_subfolder_is_no_class(tmp_path):
    save(tmp_path / "all" / "0.png", noise(12, 12))
    assert open_images(tmp_path).labels is None


# ------------------------------------------------------------------------- decoding


def read_one(tmp_path, name, side, channels, **settings):
    source = Folder(tmp_path, side, channels, **settings)
    return source.picture(source.names.index(name))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright(tmp_path, orientation):
    pixels = noise(20, 20)
    exif = Image.Exif()
    exif[0x0112] = orientation
    save(tmp_path / "x.png", pixels, exif=exif)
    # What a viewer has to do, by the standard of Exif.
    upright = {
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.T,
        6: np.rot90(pixels, -1),
        7: pixels[::-1, ::-1].T,
        8: np.rot90(pixels),
    }
    found = read_one(tmp_path, "x.png", 20, 1)
    np.testing.assert_array_equal(found, upright[orientation])


def test_every_mode_becomes_grey_or_colour(tmp_path):
    colour = Image.fromarray(noise(16, 16, 3))
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA"):
        colour.convert(mode).save(tmp_path / f"{mode}.png")
    colour.convert("CMYK").save(tmp_path / "CMYK.tif")
    for path in tmp_path.iterdir():
        stored = Image.open(path)
        for channels, mode in ((1, "L"), (3, "RGB")):
            found = read_one(tmp_path, path.name, 16, channels)
            np.testing.assert_array_equal(found, np.asarray(stored.convert(mode)))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_scaled_and_not_cut_off(tmp_path, suffix):
    deep = np.linspace(0, 65535, 256).reshape(16, 16).astype(np.uint16)
    save(tmp_path / f"x.{suffix}", deep)
    found = read_one(tmp_path, f"x.{suffix}", 16, 1)
    np.testing.assert_array_equal(found, deep // 257)
    assert open_images(tmp_path).shape == (28, 28)


def test_numbers_beyond_sixteen_bits_do_not_wrap_around(tmp_path):
    save(tmp_path / "x.tif", np.array([[-300, 0], [10**6, 65535]], np.int32))
    np.testing.assert_array_equal(
        read_one(tmp_path, "x.tif", 2, 1), [[0, 0], [255, 255]]
    )


def test_of_a_film_the_first_picture_counts(tmp_path):
    first, second = (Image.fromarray(np.full((16, 16), v, np.uint8)) for v in (40, 200))
    for suffix in ("gif", "webp"):
        path = tmp_path / f"x.{suffix}"
        first.save(path, save_all=True, append_images=[second])
        found = read_one(tmp_path, path.name, 16, 1)
        np.testing.assert_allclose(found, 40, atol=1)


def test_lossy_files_are_nearly_what_pillow_says(tmp_path):
    smooth = np.add.outer(np.arange(64), 2 * np.arange(64)).astype(np.uint8)
    for name in ("x.jpg", "x.webp"):
        save(tmp_path / name, np.stack([smooth, smooth.T, smooth], -1), quality=95)
        whole = Image.open(tmp_path / name).convert("RGB")
        for side in (64, 16):
            truth = whole.resize((side, side), Image.Resampling.BOX)
            found = read_one(tmp_path, name, side, 3)
            difference = np.abs(found.astype(float) - np.asarray(truth))
            # JPEG is decoded at a smaller scale, which is not the same to the digit.
            assert difference.mean() < 2


def test_pictures_are_cut_about_the_centre(tmp_path):
    wide = np.zeros((16, 40), np.uint8)
    wide[:, 12:28] = noise(16, 16)
    save(tmp_path / "wide.png", wide)
    save(tmp_path / "tall.png", wide.T)
    np.testing.assert_array_equal(read_one(tmp_path, "wide.png", 16, 1), wide[:, 12:28])
    np.testing.assert_array_equal(
        read_one(tmp_path, "tall.png", 16, 1), wide[:, 12:28].T
    )


def test_turning_comes_before_cutting(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    wide = np.zeros((16, 48), np.uint8)
    wide[:, 16:32] = noise(16, 16)
    save(tmp_path / "x.png", wide, exif=exif)
    np.testing.assert_array_equal(
        read_one(tmp_path, "x.png", 16, 1), np.rot90(wide[:, 16:32], -1)
    )


@pytest.mark.parametrize(
    ("sizes", "side"),
    [([(10, 10)], 28), ([(63, 90)], 32), ([(64, 64)], 64), ([(4000, 300)], 224)]
    + [
        ([(28, 28)] * 2 + [(300, 300)] * 3, 224),
        ([(28, 28)] * 3 + [(300, 300)] * 2, 28),
    ],
)
def test_the_side_is_what_half_of_the_pictures_reach(tmp_path, sizes, side):
    for i, size in enumerate(sizes):
        save(tmp_path / f"{i}.png", noise(*size))
    assert open_images(tmp_path).shape == (side, side)


def test_one_coloured_picture_makes_all_of_them_coloured(tmp_path):
    fill(tmp_path, 3)
    Image.fromarray(noise(16, 16)).convert("LA").save(tmp_path / "veil.png")
    assert open_images(tmp_path, side=16).shape == (16, 16)
    save(tmp_path / "x.png", noise(16, 16, 3))
    assert open_images(tmp_path, side=16).shape == (16, 16, 3)
    assert open_images(tmp_path, side=8, channels=1).shape == (8, 8)
    assert open_images(tmp_path, side=8, channels=1).read(0).shape == (8, 8)


# ---------------------------------------------------------------------------- order


def test_every_epoch_is_a_permutation_and_depends_on_seed_and_number(folder):
    source, again = open_images(folder), open_images(folder)
    orders = {(e, s): tuple(source.order(e, s)) for e in range(4) for s in range(4)}
    assert all(sorted(order) == list(range(12)) for order in orders.values())
    assert len(set(orders.values())) == 16
    assert all(tuple(again.order(*key)) == order for key, order in orders.items())


def levels(batches):
    """Numbers of the pictures in batches, by their grey level."""
    return [tuple(np.rint(np.asarray(b)[:, 0, 0] * 25.5).astype(int)) for b in batches]


def test_a_batch_holds_what_the_order_says(folder):
    source = open_images(folder, side=16)
    fed = levels(source.feed(5, seed=3, start=0, stop=6))
    expected = []
    for epoch in range(3):
        order = source.order(epoch, 3)
        expected += [tuple(order[:5]), tuple(order[5:10])]  # Two are left out.
    assert fed == expected


def test_what_is_fed_is_the_picture_in_float(folder):
    save(folder / "00.png", noise(16, 16))
    source = open_images(folder, side=16)
    batch = next(iter(source.feed(12, 0, 0, 1)))
    assert batch.dtype == tf.float32 and batch.shape == (12, 16, 16)
    expected = np.stack([source.picture(i) for i in source.order(0, 0)])
    # TensorFlow multiplies by the inverse.
    np.testing.assert_allclose(batch, expected / 255, atol=1e-7)


@pytest.mark.parametrize("start", [0, 1, 2, 3, 7, 9])
def test_a_feed_can_begin_anywhere(folder, start):
    source = open_images(folder, side=16)
    whole = levels(source.feed(5, seed=1, start=0, stop=9))
    feed = source.feed(5, seed=1, start=start, stop=9)
    assert int(feed.cardinality()) == 9 - start
    assert levels(feed) == whole[start:]


def test_the_parts_of_replicas_make_the_batch(folder):
    source = open_images(folder, side=16)
    whole = levels(source.feed(6, seed=1, start=1, stop=5))
    # Three replicas: two fed by one process, the third by another one.
    pair = levels(source.feed(6, 1, 1, 5, replicas=(0, 1), of=3))
    third = levels(source.feed(6, 1, 1, 5, replicas=(2,), of=3))
    assert len(pair) == 8 and len(third) == 4
    joined = [a + b + c for a, b, c in zip(pair[::2], pair[1::2], third, strict=True)]
    assert joined == whole


@pytest.mark.parametrize(
    ("batch", "of", "message"),
    [
        (0, 1, "from 1 to the 12 pictures there are, got 0"),
        (13, 1, "from 1 to the 12 pictures there are, got 13"),
        (2.0, 1, "must be an integer"),
        (7, 3, "multiple of the 3 replicas, got 7.*Take 6 or 9"),
    ],
)
def test_a_batch_that_cannot_be_filled_is_refused(folder, batch, of, message):
    with pytest.raises(ValueError, match=message):
        open_images(folder).feed(batch, 0, 0, 1, of=of)


# ------------------------------------------------------------------ unreadable files


def test_a_share_of_unreadable_pictures_is_skipped_and_one_more_is_not(folder):
    spoil(folder, 2, 5, 9)
    found = [i for n, _ in open_images(folder, bad=0.25).in_order(5) for i in n]
    assert found == [0, 1, 3, 4, 6, 7, 8, 10, 11]
    spoil(folder, 11)
    source = open_images(folder, bad=0.25)
    with pytest.raises(ValueError) as raised:
        list(source.in_order(5))
    message = str(raised.value)
    assert "4 of 12 pictures cannot be read, more than the share bad=0.25" in message
    assert all(f"{i:02d}.png (UnidentifiedImageError" in message for i in (2, 5, 9, 11))
    assert source.failure is raised.value


def test_shares_are_compared_without_rounding():
    # 0.29 * 100 is 28.999999999999996.
    source = Array(noise(100, 8, 8), bad=0.29)
    source.picture = lambda index: 1 / 0
    for i in range(29):
        assert source.read(i) is None
    with pytest.raises(ValueError, match="30 of 100"):
        source.read(29)


def test_a_neighbour_stands_in_while_training_and_the_end_is_followed_by_the_start(
    folder,
):
    spoil(folder, 3, 4, 11)
    source = open_images(folder, side=16, bad=0.5)
    batch = source.batch(np.array([2, 3, 4, 11]))
    assert list(batch[:, 0, 0]) == [20, 50, 50, 0]
    assert sorted(source.broken) == [3, 4, 11]
    numbers, _ = zip(*source.in_order(4), strict=True)
    assert not {3, 4, 11} & set(np.concatenate(numbers))


def test_chosen_pictures_come_in_the_order_of_the_choice(folder):
    spoil(folder, 4)
    source = open_images(folder, side=16, bad=0.5)
    parts = list(source.in_order(2, np.array([7, 4, 4, 1, 0])))
    assert [list(numbers) for numbers, _ in parts] == [[7], [1], [0]]
    assert [list(x[:, 0, 0]) for _, x in parts] == [[70], [10], [0]]


def test_too_many_unreadable_pictures_end_a_feed(folder):
    spoil(folder, *range(8))
    source = open_images(folder, side=16, bad=0.5)
    with pytest.raises(tf.errors.OpError):
        list(source.feed(6, 0, 0, 4))
    assert "of 12 pictures cannot be read" in str(source.failure)


def test_whatever_is_wrong_with_a_file_is_noted(folder):
    whole = save(folder / "x.jpg", noise(64, 64)).read_bytes()
    (folder / "x.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "01.png").write_bytes(b"")
    (folder / "02.png").write_bytes((folder / "02.png").read_bytes()[:40])
    (folder / "dangling.png").symlink_to("nowhere.png")
    source = open_images(folder, side=16, bad=0.9)
    (folder / "03.png").unlink()
    (folder / "04.png").unlink()
    (folder / "04.png").mkdir()
    assert source.count == 14
    list(source.in_order())
    broken = {source.names[i]: why for i, why in source.broken.items()}
    assert sorted(broken) == [
        *("01.png", "02.png", "03.png", "04.png", "dangling.png", "x.jpg"),
    ]
    assert "truncated" in broken["x.jpg"]
    assert broken["03.png"].startswith("FileNotFoundError")
    assert broken["04.png"].startswith("IsADirectoryError")


def test_damage_of_any_kind_is_noted(tmp_path):
    rng = np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"
    picture = Image.fromarray(noise(30, 40, 3))
    for suffix in ("jpg", "png", "gif", "tif", "webp", "bmp"):
        whole = tmp_path / f"whole.{suffix}"
        picture.save(whole, **({} if suffix in ("gif", "bmp") else {"exif": exif}))
        for i in range(40):
            damaged = bytearray(whole.read_bytes())
            for _ in range(rng.integers(1, 20)):
                damaged[rng.integers(min(len(damaged), 300))] = rng.integers(256)
            cut = len(damaged) if i % 2 else int(rng.integers(len(damaged)))
            (tmp_path / f"{i}.{suffix}").write_bytes(damaged[:cut])
    source = Folder(tmp_path, 16, 3, bad=0.99)
    warnings.simplefilter("ignore")  # Those of Pillow, about damage.
    read = [source.read(i) for i in range(source.count)]
    assert sum(x is not None for x in read) >= 6
    assert len(source.broken) > 50


def test_an_error_that_pillow_should_not_raise_is_noted(folder, monkeypatch):
    source = open_images(folder, bad=0.9)
    monkeypatch.setattr(ImageOps, "exif_transpose", lambda image: {}["orientation"])
    assert source.read(0) is None
    assert source.broken[0] == "KeyError: 'orientation'"


def test_a_picture_of_enormous_size_is_noted(folder, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    save(folder / "bomb.png", np.zeros((64, 64), np.uint8))
    source = open_images(folder, bad=0.5)
    assert source.read(source.names.index("bomb.png")) is None
    assert "DecompressionBombError" in source.broken[12]


def test_a_folder_of_unreadable_pictures_is_refused(folder):
    spoil(folder, *range(12))
    with pytest.raises(ValueError, match=r"none of the pictures looked at .*00\.png"):
        open_images(folder)


def test_unreadable_pictures_do_not_keep_side_from_being_chosen(folder):
    spoil(folder, 0, 1, 2)
    assert open_images(folder).shape == (28, 28)


# ---------------------------------------------------------------------- fingerprints


def test_a_fingerprint_tells_of_every_change(folder):
    def fingerprint():
        return Folder(folder, 16, 1).fingerprint()

    first = fingerprint()
    assert fingerprint() == first
    os.utime(folder / "00.png", (0, 0))  # A copy has another date.
    assert fingerprint() == first
    save(folder / "x.png", noise(16, 16))
    added = fingerprint()
    with open(folder / "x.png", "ab") as file:
        file.write(b"0")
    larger = fingerprint()
    (folder / "x.png").rename(folder / "y.png")
    renamed = fingerprint()
    (folder / "y.png").unlink()
    assert fingerprint() == first
    assert len({first, added, larger, renamed}) == 4
    vanished = Folder(folder, 16, 1)
    (folder / "00.png").unlink()
    assert vanished.fingerprint() != first


def test_a_fingerprint_of_an_array_tells_of_its_pictures():
    x = noise(50, 8, 8)
    first = Array(x).fingerprint()
    assert Array(x.copy()).fingerprint() == first
    x[7, 3, 3] ^= 1
    assert Array(x).fingerprint() != first
    assert Array(x[:49]).fingerprint() != first


# ------------------------------------------------------------------- .npz and arrays


@pytest.mark.parametrize("pack", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("shape", [(9, 20, 20), (9, 20, 20, 1), (9, 20, 20, 3)])
def test_an_npz_file_is_read_as_it_is(tmp_path, pack, shape):
    x = noise(*shape)
    pack(tmp_path / "x.npz", x=x, y=np.arange(9) % 2)
    source = open_images(tmp_path / "x.npz", scratch=tmp_path / "scratch")
    assert source.shape == (20, 20, 3)[: 3 if shape[3:] == (3,) else 2]
    assert source.labels == [str(i % 2) for i in range(9)]
    assert source.names[0] == "picture 0"
    chosen = np.array([8, 0, 3])
    expected = x[chosen].reshape(3, *source.shape)
    np.testing.assert_array_equal(source.batch(chosen), expected)
    np.testing.assert_array_equal(source.read(8), expected[0])
    fed = next(iter(source.feed(9, 0, 0, 1)))
    np.testing.assert_allclose(
        fed, x.reshape(9, *source.shape)[source.order(0, 0)] / 255, atol=1e-7
    )


def test_the_only_array_may_have_any_name(tmp_path):
    np.savez(tmp_path / "x.npz", noise(5, 12, 12))
    source = open_images(tmp_path / "x.npz", scratch=tmp_path)
    assert source.count == 5 and source.labels is None


def test_an_npz_file_is_never_in_memory_as_a_whole(tmp_path):
    x = np.zeros((400, 256, 256), np.uint8)  # 26 MB
    np.savez_compressed(tmp_path / "x.npz", x=x)
    tracemalloc.start()
    images._npz(tmp_path / "x.npz", tmp_path / "scratch")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8e6
    source = open_images(tmp_path / "x.npz", scratch=tmp_path / "scratch")
    assert isinstance(source.pictures, np.memmap)


def test_what_is_laid_out_is_used_again_until_the_file_changes(tmp_path, monkeypatch):
    place, scratch = tmp_path / "x.npz", tmp_path / "scratch"
    np.savez(place, x=noise(5, 12, 12))
    first = open_images(place, scratch=scratch).read(0)
    (laid,) = scratch.iterdir()
    before = laid.stat().st_mtime_ns
    open_images(place, scratch=scratch)
    assert [path.stat().st_mtime_ns for path in scratch.iterdir()] == [before]
    np.savez(place, x=noise(5, 12, 12, seed=1))
    os.utime(place, ns=(0, before + 10**9))
    second = open_images(place, scratch=scratch).read(0)
    assert (first != second).any()
    assert not list(scratch.glob(".*"))


def test_a_full_disk_leaves_nothing_half_laid_out(tmp_path, monkeypatch):
    np.savez(tmp_path / "x.npz", x=noise(5, 12, 12))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(OSError, match="No space left"):
        open_images(tmp_path / "x.npz", scratch=tmp_path / "scratch")
    assert not list((tmp_path / "scratch").iterdir())
    monkeypatch.undo()
    assert open_images(tmp_path / "x.npz", scratch=tmp_path / "scratch").count == 5


def test_arrays_are_scaled_and_coloured_when_asked(tmp_path):
    x = noise(3, 20, 20)
    source = Array(x, side=10, channels=3)
    assert source.shape == (10, 10, 3)
    truth = Image.fromarray(x[1]).resize((10, 10), Image.Resampling.BILINEAR)
    for channel in np.moveaxis(source.read(1), -1, 0):
        np.testing.assert_array_equal(channel, truth)
    np.testing.assert_array_equal(source.batch(np.array([1]))[0], source.read(1))
    assert Array(noise(3, 20, 40)).shape == (28, 28)  # Made square.
    assert Array(noise(3, 20, 20, 3), channels=1).read(0).shape == (20, 20)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((3, 8, 8))}, "must be uint8 of shape .*float64 \\(3, 8, 8\\)"),
        ({"x": noise(3, 8)}, "must be uint8 of shape .*uint8 \\(3, 8\\)"),
        ({"x": noise(3, 8, 8, 2)}, "must be uint8 of shape"),
        ({"x": noise(0, 8, 8)}, "n at least 1"),
        ({"x": noise(3, 8, 8), "y": np.arange(4)}, "got 4 for 3 pictures"),
        ({"images": noise(3, 8, 8), "labels": np.arange(3)}, "holds images, labels"),
        ({}, "cannot be read as an .npz file"),
    ],
)
def test_an_npz_file_of_something_else_is_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        open_images(tmp_path / "x.npz", scratch=tmp_path)


def test_a_damaged_npz_file_is_refused(tmp_path):
    place = tmp_path / "x.npz"
    np.savez_compressed(place, x=noise(30, 16, 16))
    whole = place.read_bytes()
    for content in (
        b"",
        b"no archive",
        whole[: len(whole) // 2],
        whole[:200] + bytes(50) + whole[250:],
    ):
        place.write_bytes(content)
        with pytest.raises(ValueError, match="cannot be read as an .npz file"):
            open_images(place, scratch=tmp_path / "scratch")
    with zipfile.ZipFile(place, "w") as archive:
        archive.writestr("notes.txt", "no array")
    with pytest.raises(ValueError, match="cannot be read as an .npz file"):
        open_images(place, scratch=tmp_path / "scratch")
    assert not list((tmp_path / "scratch").iterdir())


# ------------------------------------------------------------------------- data sets


def test_a_saved_data_set_is_read(tmp_path):
    x, y = noise(7, 14, 14, 1), np.arange(7) % 3
    forms = {
        "alone": x,
        "pair": (x, y),
        "named": {"image": x, "label": y},
        "text": (x, np.array([b"cat", b"dog", b"cow"])[y]),
        "single": (x,),
    }
    for name, form in forms.items():
        tf.data.Dataset.from_tensor_slices(form).save(str(tmp_path / name))
        source = open_images(tmp_path / name, scratch=tmp_path / "scratch")
        np.testing.assert_array_equal(source.batch(np.arange(7)), x[..., 0])
        numbers = [str(k) for k in y]
        labels = {"alone": None, "single": None, "pair": numbers, "named": numbers}
        words = [("cat", "dog", "cow")[k] for k in y]
        assert source.labels == labels.get(name, words)


def test_pictures_of_a_data_set_may_differ_in_size(tmp_path):
    sizes = [(40, 50), (70, 33), (32, 32)]
    pictures = [noise(*size, 3) for size in sizes]
    signature = tf.TensorSpec((None, None, 3), tf.uint8)
    tf.data.Dataset.from_generator(
        lambda: iter(pictures), output_signature=signature
    ).save(str(tmp_path / "x"))
    source = open_images(tmp_path / "x", scratch=tmp_path)
    assert source.count == 3 and source.shape == (32, 32, 3)
    truth = ImageOps.fit(Image.fromarray(pictures[1]), (32, 32), Image.BILINEAR)
    np.testing.assert_array_equal(source.read(1), truth)


def test_a_data_set_is_laid_out_once_for_each_shape(tmp_path):
    tf.data.Dataset.from_tensor_slices(noise(4, 32, 32)).save(str(tmp_path / "x"))
    scratch = tmp_path / "scratch"

    def shape(**settings):
        return open_images(tmp_path / "x", scratch=scratch, **settings).pictures.shape

    assert shape() == (4, 32, 32)
    before = {path: path.stat().st_mtime_ns for path in scratch.iterdir()}
    # A run knows its side the second time.
    assert shape(side=32, channels=1) == (4, 32, 32)
    assert {path: path.stat().st_mtime_ns for path in scratch.iterdir()} == before
    assert shape(side=16) == (4, 16, 16)
    assert shape(channels=3) == (4, 32, 32, 3)
    assert shape() == (4, 32, 32)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros((3, 8, 8), "float32"), r"must be uint8.*got float32 \[8, 8\]"),
        (noise(2, 3, 8, 8, 3), r"got uint8 \[3, 8, 8, 3\].*one by one"),
        ({"picture": noise(3, 8, 8)}, r"got None \[\].*call them image"),
        (noise(3, 8, 8)[:0], "holds no pictures"),
    ],
)
def test_a_data_set_of_something_else_is_refused(tmp_path, content, message):
    tf.data.Dataset.from_tensor_slices(content).save(str(tmp_path / "x"))
    with pytest.raises(ValueError, match=message):
        open_images(tmp_path / "x", scratch=tmp_path / "scratch")
    assert not (tmp_path / "scratch").exists()


def test_a_damaged_data_set_is_refused(tmp_path):
    tf.data.Dataset.from_tensor_slices(noise(3, 8, 8)).save(str(tmp_path / "x"))
    for path in (tmp_path / "x").rglob("*.snapshot"):
        path.write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match="cannot be read as a data set of tf.data"):
        open_images(tmp_path / "x", scratch=tmp_path / "scratch")


def test_tfds_asks_for_its_package(tmp_path, monkeypatch):
    (tmp_path / "dataset_info.json").write_text("{}")
    monkeypatch.setitem(__import__("sys").modules, "tensorflow_datasets", None)
    with pytest.raises(ValueError, match="pip install tensorflow-datasets"):
        open_images(tmp_path, scratch=tmp_path)


def test_tfds_is_read_by_its_train_part(tmp_path, monkeypatch):
    """As the package would be called, which the environment does not have."""
    x = noise(4, 12, 12, 3)

    class Label:
        @staticmethod
        def int2str(number):
            return f"class {number}"

    class Builder:
        class info:
            splits = {"test": None, "train": None}
            features = {"image": None, "label": Label}

        def as_dataset(self, split):
            assert split == "train"
            return [{"image": picture, "label": i % 2} for i, picture in enumerate(x)]

    class Module:
        builder_from_directory = staticmethod(lambda place: Builder())
        as_numpy = staticmethod(iter)

    (tmp_path / "dataset_info.json").write_text("{}")
    monkeypatch.setitem(__import__("sys").modules, "tensorflow_datasets", Module)
    source = open_images(tmp_path, scratch=tmp_path / "scratch")
    np.testing.assert_array_equal(source.batch(np.arange(4)), x)
    assert source.labels == ["class 0", "class 1"] * 2


def test_labels_of_a_data_set_without_any_are_none(tmp_path):
    tf.data.Dataset.from_tensor_slices(noise(3, 8, 8)).save(str(tmp_path / "x"))
    open_images(tmp_path / "x", scratch=tmp_path / "scratch")
    (listed,) = (tmp_path / "scratch").glob("*.json")
    assert json.loads(listed.read_text()) == ["", "", ""]


# -------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"side": 7}, "side must be an integer from 8 pixels, got 7"),
        ({"side": 28.0}, "side must be an integer"),
        ({"channels": 2}, r"channels must be 1 \(grey\) or 3 \(colour\), got 2"),
        ({"bad": 1.0}, "bad must be a share from 0 to below 1, got 1.0"),
        ({"bad": -0.1}, "bad must be a share"),
    ],
)
def test_settings_out_of_range_are_refused(folder, settings, message):
    with pytest.raises(ValueError, match=message):
        open_images(folder, **settings)


def test_places_without_pictures_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no file or folder .*nowhere: check the path"):
        open_images(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"holds no picture, .*\.jpeg, \.jpg, \.pgm"):
        open_images(tmp_path)
    path = save(tmp_path / "x.png", noise(12, 12))
    with pytest.raises(ValueError, match="neither a folder nor an .npz file"):
        open_images(path)


# ---------------------------------------------------------------------------- tables


def table(tmp_path, text):
    path = tmp_path / "labels.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


NAMES = ["a/0.png", "ä 1.png", "b,2.png", "3.png"]


@pytest.mark.parametrize(
    "text",
    [
        'a/0.png,cat\nä 1.png, dog \n"b,2.png",cat\n',
        'name,label\na/0.png,cat\n\nä 1.png,dog\n"b,2.png",cat\n3.png,\n',
        '\ufeffName,Label\r\n"b,2.png",cat\r\na/0.png,cat\r\nä 1.png,dog\r\n',
    ],
)
def test_a_table_gives_classes(tmp_path, text):
    assert read_labels(table(tmp_path, text), NAMES) == ["cat", "dog", "cat", ""]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a/0.png;cat", "such as a/0.png, and its class, got 'a/0.png;cat'"),
        ("0.png,cat", "got '0.png,cat'"),
        ("a/0.png,cat,1", "got 'a/0.png,cat,1'"),
        ("a/0.png", "got 'a/0.png'"),
        (b"a/0.png,\xff\xfe", "cannot be read as text"),
        (f"a/0.png,{'x' * 200_000}", "cannot be read as text: field larger"),
    ],
)
def test_a_table_of_something_else_is_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_labels(table(tmp_path, text), NAMES)


def test_a_table_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ValueError, match="labels .*labels.csv cannot be read"):
        read_labels(tmp_path / "labels.csv", NAMES)


def test_an_empty_table_knows_no_class(tmp_path):
    assert read_labels(table(tmp_path, ""), NAMES) == [""] * 4


# ------------------------------------------------------------------------ small ones


def test_small_copies_have_at_most_so_many_numbers():
    for shape in ((28, 28), (64, 64), (100, 60, 3), (224, 224, 3)):
        small = images.shrink(noise(2, *shape))
        assert small.dtype == np.uint8 and small[0].size <= 784
    x = noise(2, 28, 28)
    assert images.shrink(x) is x


def test_the_module_does_not_need_tensorflow():
    """Opening a folder takes no seconds for an import."""
    import subprocess
    import sys

    code = (
        "import sys, tempfile; from PIL import Image; from sslkit import images\n"
        "folder = tempfile.mkdtemp(); Image.new('L', (9, 9)).save(folder + '/x.png')\n"
        "images.open_images(folder).read(0)\n"
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent)
