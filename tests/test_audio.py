"""Log-mel against SciPy, layers against what they are to do, models as Keras models."""

import keras
import numpy as np
import pytest
import scipy.signal
from keras import ops

from sslkit import audio, augment, contrastive, networks, speech


def tone(hertz, seconds=1.0, amplitude=0.5):
    wave = np.sin(2 * np.pi * hertz * np.arange(round(8000 * seconds)) / 8000)
    return np.round(amplitude * 32767 * wave).astype(np.int16)


@pytest.fixture
def pictures():
    """Smooth blobs, which survive a small shift."""
    coarse = np.random.default_rng(0).random((24, 4, 4)) > 0.5
    return coarse.repeat(8, axis=1).repeat(8, axis=2).astype("float32")


# --------------------------------------------------------------- waveform to picture


def test_mel_is_its_formula_and_nearly_linear_below_a_kilohertz():
    assert audio.mel(700) == pytest.approx(2595 * np.log10(2))
    assert audio.mel(1000) == pytest.approx(1000, abs=0.1)
    steps = np.diff(audio.mel(audio.mel_centres(20)))
    np.testing.assert_allclose(steps, steps[0])
    ends = audio.mel(audio.mel_centres(20)[[0, -1]]) + np.array([-1, 1]) * steps[0]
    np.testing.assert_allclose(ends, audio.mel([50, 4000]))


def test_filters_are_triangles_drawn_one_by_one():
    filters = audio.mel_filters(12)
    edges = 700 * (10 ** (np.linspace(*audio.mel([50, 4000]), 14) / 2595) - 1)
    for k in range(257):
        f = k * 8000 / 512
        for j in range(12):
            low, mid, high = edges[j : j + 3]
            rise, fall = (f - low) / (mid - low), (high - f) / (high - mid)
            assert filters[k, j] == pytest.approx(max(0, min(rise, fall)), abs=1e-9)


@pytest.mark.parametrize("bands", [0, 2.5, 200])
def test_bad_number_of_bands_is_named(bands):
    with pytest.raises(ValueError, match="bands must be"):
        audio.mel_filters(bands)


def test_log_mel_is_scipys_spectrogram_in_mel_bands():
    wave = np.random.default_rng(0).integers(-9999, 9999, 3000).astype(np.int16)
    _, _, power = scipy.signal.spectrogram(
        np.pad(wave / 32768, 128),
        fs=8000,
        window=scipy.signal.get_window("hann", 256),
        nperseg=256,
        noverlap=256 - 64,
        nfft=512,
        detrend=False,
        scaling="spectrum",
        mode="complex",
    )
    # SciPy divides by the sum of the window, which is 128.
    expected = 10 * np.log10(
        (np.abs(power.T * 128) ** 2 / 256) @ audio.mel_filters() + 1e-10
    )
    found = audio.log_mel(wave[None])[0]
    assert found.shape == (1 + 3000 // 64, 32)
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_tone_is_loudest_in_its_band_and_silence_is_minus_a_hundred():
    for band in (3, 15, 30):
        wave = tone(audio.mel_centres()[band])
        assert audio.log_mel(wave[None])[0, 60].argmax() == band
    np.testing.assert_allclose(audio.log_mel(np.zeros((1, 500), np.int16)), -100)


def test_ten_times_the_amplitude_is_twenty_decibels():
    quiet, loud = tone(1000, amplitude=0.05), tone(1000, amplitude=0.5)
    difference = audio.log_mel(loud[None]) - audio.log_mel(quiet[None])
    assert difference[0, 60, 15] == pytest.approx(20, abs=0.05)


@pytest.mark.parametrize("waves", [np.zeros((2, 9)), np.zeros(9, np.int16)])
def test_waves_of_another_kind_are_named(waves):
    with pytest.raises(ValueError, match="waves must be int16"):
        audio.log_mel(waves)


def test_word_image_does_not_know_loudness_nor_where_the_word_is_nor_its_length():
    rise = np.concatenate([tone(500, 0.2), tone(2000, 0.2)])
    slow = np.concatenate([tone(500, 0.3), tone(2000, 0.3)])
    waves = np.zeros((4, 8000), np.int16)
    waves[0, : len(rise)] = rise
    waves[1, 3000 : 3000 + len(rise)] = rise
    waves[2, : len(rise)] = rise // 10
    waves[3, : len(slow)] = slow
    images = audio.word_image(waves)
    assert images.shape == (4, 32, 32) and images.max() == 1 and images.min() >= 0
    for other in images[1:]:
        assert np.abs(other - images[0]).mean() < 0.02
    low, high = (np.abs(audio.mel_centres() - f).argmin() for f in (500, 2000))
    assert images[0, 8].argmax() == low and images[0, 24].argmax() == high
    # The change of tone is in the middle.
    assert images[0, 14].argmax() == low and images[0, 17].argmax() == high


def test_word_image_reaches_sixty_decibels_down():
    wave = (tone(500) + tone(2000, amplitude=0.5 * 10 ** (-30 / 20))).astype(np.int16)
    image = audio.word_image(wave[None])[0]
    bands = [np.abs(audio.mel_centres() - f).argmin() for f in (500, 2000)]
    # How much of a tone a triangle takes depends on where it lies.
    shares = [
        audio.mel_filters()[round(f * 512 / 8000), band]
        for f, band in zip((500, 2000), bands, strict=True)
    ]
    gap = 60 * (image[16, bands[0]] - image[16, bands[1]])
    assert gap == pytest.approx(30 + 10 * np.log10(shares[0] / shares[1]), abs=1.5)


# ----------------------------------------------------------- random changes of a word


LAYERS = [
    lambda: audio.RandomVoice(0.2, seed=1),
    lambda: audio.RandomTempo(0.1, 0.05, 0.02, seed=1),
    lambda: audio.RandomMicrophone(0.06, 0.3, seed=1),
    lambda: audio.RandomMicrophone(0.06, 0.0, seed=1),
    lambda: audio.RandomStripes(0.3, seed=1),
    lambda: audio.RandomSpeaker(np.ones((3, 32, 32)) * 0.2, 1.0, seed=1),
]


@pytest.mark.parametrize("make", LAYERS)
def test_layers_draw_for_each_picture_repeat_with_the_seed_and_stay_in_range(
    make, pictures
):
    layer, again = make(), make()
    same = np.stack([pictures[0]] * 24)
    changed = np.asarray(layer(same, training=True))
    assert changed.shape == same.shape and changed.min() >= 0 and changed.max() <= 1
    assert len(np.unique(changed, axis=0)) == 24
    assert np.array_equal(changed, again(same, training=True))
    assert np.array_equal(layer(same), same)
    copy = type(layer).from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()
    assert np.array_equal(changed, copy(same, training=True))


def test_layers_with_nothing_to_draw_change_nothing(pictures):
    for layer in (
        audio.RandomVoice(0.0, seed=0),
        audio.RandomTempo(0.0, 0.0, 0.0, seed=0),
        audio.RandomMicrophone(0.0, 0.0, seed=0),
        audio.RandomStripes(0.0, seed=0),
        audio.RandomSpeaker(np.ones((3, 32, 32)), 0.0, seed=0),
    ):
        changed = np.asarray(layer(pictures, training=True))
        np.testing.assert_allclose(changed, pictures, atol=1e-4)


def test_voice_moves_a_tone_by_the_factor():
    """The picture of a tone, warped, is the picture of a tone of another frequency."""
    for factor in (0.8, 1.25):
        before, after = (
            audio.word_image(tone(f)[None])[0, 16] for f in (1000, 1000 / factor)
        )
        where = np.asarray(audio.band_positions(np.array([[factor]], "float32")))[0]
        warped = np.interp(where, np.arange(32), before)
        assert warped.argmax() == after.argmax()
    hertz = audio.mel_centres()
    moved = np.interp(where, np.arange(32), audio.mel(hertz))
    inside = (where > 0) & (where < 31)
    np.testing.assert_allclose(moved[inside], audio.mel(1.25 * hertz)[inside], 1e-4)


def test_voice_draws_factors_up_to_its_limit():
    ramp = np.tile(np.linspace(0, 1, 32, dtype="float32"), (500, 32, 1))
    changed = np.asarray(audio.RandomVoice(0.2, seed=0)(ramp, training=True))
    middle = 31 * changed[:, 0, 16]  # the position that was looked at
    ends = [
        float(audio.band_positions(np.array([[np.exp(a)]], "float32"))[0, 16])
        for a in (-0.2, 0.2)
    ]
    assert ends[0] <= middle.min() < ends[0] + 0.1
    assert ends[1] - 0.1 < middle.max() <= ends[1]


def test_tempo_is_a_shift_and_a_stretch_with_silence_around():
    ramp = np.tile(np.linspace(0, 1, 32, dtype="float32")[:, None], (400, 1, 32))
    changed = np.asarray(audio.RandomTempo(0.0, 0.25, 0.0, seed=0)(ramp, training=True))
    moved = 31 * changed[:, 16, 0] - 16
    assert -7.75 <= moved.min() < -7 and 7 < moved.max() <= 7.75
    assert (changed[moved > 1, -1] == 0).all() and (changed[moved < -1, 0] == 0).all()
    stretched = np.asarray(
        audio.RandomTempo(0.2, 0.0, 0.0, seed=0)(ramp, training=True)
    )
    slopes = 31 * (stretched[:, 18, 0] - stretched[:, 14, 0]) / 4
    np.testing.assert_allclose(
        31 * stretched[:, 15:17, 0].mean(axis=1), 15.5, rtol=1e-4
    )
    assert np.exp(-0.2) <= slopes.min() < 0.85 and 1.18 < slopes.max() <= np.exp(0.2)


def test_powers_of_sounds_add():
    a, b = np.random.default_rng(0).random((2, 50))
    power = 10 ** (60 * a / 10) + 10 ** (60 * b / 10)
    np.testing.assert_allclose(audio.add_sounds(a, b), np.log10(power) / 6, rtol=1e-5)


def test_microphone_changes_tone_smoothly_and_noise_drowns_only_what_is_quiet():
    grey = np.full((2000, 4, 32), 0.5, "float32")
    toned = np.asarray(audio.RandomMicrophone(0.05, 0.0, seed=0)(grey, training=True))
    assert np.ptp(toned, axis=1).max() < 1e-6  # the same at all moments
    place = np.pi * (np.arange(32) + 0.5) / 32
    variance = sum(np.cos(k * place) ** 2 for k in range(8))
    np.testing.assert_allclose(
        toned[:, 0].std(axis=0), 0.05 * np.sqrt(variance), rtol=0.1
    )
    both = np.concatenate([np.zeros((9, 16, 32)), np.ones((9, 16, 32))], axis=1)
    noisy = np.asarray(
        audio.RandomMicrophone(0.0, 0.5, seed=0)(both.astype("float32"), training=True)
    )
    assert (noisy[:, 16:] > 0.99).all() and noisy[:, :16].mean() > 0.05


def test_stripes_are_one_of_each_and_no_wider_than_they_may():
    ones = np.ones((300, 32, 32), "float32")
    changed = np.asarray(audio.RandomStripes(0.25, seed=0)(ones, training=True))
    for lines in (changed.max(axis=2), changed.max(axis=1)):
        gone = lines == 0
        assert gone.sum(axis=1).max() == 8 and gone.sum(axis=1).min() == 0
        assert (np.abs(np.diff(gone.astype(int), axis=1)).sum(axis=1) <= 2).all()
        assert gone.any(axis=0).all()  # anywhere


def test_speaker_moves_along_the_differences_of_the_means():
    rng = np.random.default_rng(0)
    pictures = 0.5 + 0.02 * rng.normal(size=(90, 6, 5)).astype("float32")
    speaker = np.repeat(["c", "a", "b"], 30)
    offsets = audio.speaker_offsets(pictures, speaker)
    for row, name in enumerate("abc"):
        own = pictures[speaker == name].mean(axis=0)
        np.testing.assert_allclose(offsets[row], own - pictures.mean(axis=0), atol=1e-6)
    layer = audio.RandomSpeaker(offsets, 1.5, seed=0)
    moves = np.asarray(layer(np.full((4000, 6, 5), 0.5, "float32"), training=True))
    found = np.cov((moves - 0.5).reshape(4000, 30).T)
    flat = offsets.reshape(3, 30)
    np.testing.assert_allclose(found, 1.5**2 / 3 * flat.T @ flat, atol=6e-6)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: audio.RandomVoice(-1, seed=0), "warp"),
        (lambda: audio.RandomTempo(-1, 0, 0, seed=0), "stretch"),
        (lambda: audio.RandomTempo(0, 2, 0, seed=0), "shift"),
        (lambda: audio.RandomTempo(0, 0, 2, seed=0), "bend"),
        (lambda: audio.RandomMicrophone(-1, 0, seed=0), "tone"),
        (lambda: audio.RandomMicrophone(0, 2, seed=0), "noise"),
        (lambda: audio.RandomStripes(2, seed=0), "share"),
        (lambda: audio.RandomSpeaker(np.ones((2, 4, 4)), -1, seed=0), "scale"),
    ],
)
def test_bad_ranges_are_named(make, name):
    with pytest.raises(ValueError, match=f"{name} must"):
        make()


# ---------------------------------------------------------------- networks and models


def test_encoder_has_its_parameters_and_ignores_loudness(pictures):
    keras.utils.set_random_seed(0)
    encoder = audio.encoder((4, 8, 16), 10)
    convolutions = 9 * (4 + 4 * 8 + 8 * 16) + 4 * 16 * 10
    assert encoder.count_params() == convolutions + 4 * (4 + 8 + 16 + 10)
    features = np.asarray(encoder(pictures))
    assert features.shape == (24, 40)
    louder = pictures + np.linspace(-1, 1, 32, dtype="float32")[:, None]
    np.testing.assert_allclose(features, encoder(louder), atol=1e-4)
    with pytest.raises(ValueError, match="must be made of positive integers"):
        audio.encoder((4, 0))


def test_features_of_a_moment_do_not_see_a_far_moment(pictures):
    keras.utils.set_random_seed(0)
    encoder = audio.encoder((4, 8, 16), 10)
    changed = pictures.copy()
    changed[:, -4:] = changed[:, -4:, ::-1]
    difference = np.abs(np.asarray(encoder(pictures) - encoder(changed)))
    by_moment = difference.reshape(24, 4, 10).max(axis=(0, 2))
    assert by_moment[:2].max() < 1e-5 < 1e-3 < by_moment[3]


def masked_model(seed=0):
    keras.utils.set_random_seed(seed)
    encoder = audio.encoder((4, 8), 8)
    mask = augment.RandomMask(4, 0.5, seed=seed)
    return audio.MaskedModel(encoder, audio.decoder(64, 32), mask)


def test_masked_loss_counts_hidden_values_only(pictures):
    model = masked_model()
    model.compile(optimizer="adam")
    guess, hidden = (np.asarray(part) for part in model(pictures))
    assert set(np.unique(hidden)) == {0, 1} and hidden.mean() == 0.5
    total = sum(
        float(pictures[*place] - guess[*place]) ** 2 for place in np.argwhere(hidden)
    )
    loss = model.compute_loss(pictures, y_pred=(guess, hidden))
    assert float(loss) == pytest.approx(total / hidden.sum(), rel=1e-5)
    worse = np.where(hidden == 1, guess, guess + 100)
    assert float(model.compute_loss(pictures, y_pred=(worse, hidden))) == float(loss)


def test_masked_model_does_not_see_what_is_hidden(pictures):
    model, twin = masked_model(), masked_model()
    guess, hidden = (np.asarray(part) for part in model(pictures))
    other = np.where(hidden == 1, 1 - pictures, pictures)
    again, same = twin(other)  # the same seed draws the same mask
    assert np.array_equal(hidden, same)
    np.testing.assert_allclose(guess, again, atol=1e-5)


def test_masked_model_learns_and_is_saved_with_its_parts(pictures, tmp_path):
    model = masked_model()
    model.compile(optimizer=keras.optimizers.Adam(1e-2))
    losses = model.fit(pictures, epochs=20, batch_size=12, verbose=0).history["loss"]
    assert losses[-1] < 0.7 * losses[0]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(model.encoder(pictures), loaded.encoder(pictures))
    assert loaded.mask.patch == 4


def test_pair_of_twice_the_same_is_simclr(pictures):
    keras.utils.set_random_seed(0)
    parts = audio.encoder((4, 8, 8), 8), networks.projector(32, 32, 16)
    still = keras.layers.Identity()
    pair = audio.PairSimCLR(*parts, still, temperature=0.3)
    plain = contrastive.SimCLR(*parts, still, temperature=0.3)
    twice = np.stack([pictures, pictures], axis=1)
    np.testing.assert_allclose(pair(twice), plain(pictures), atol=1e-6)
    z = np.asarray(pair(np.stack([pictures, pictures[::-1]], axis=1)))
    np.testing.assert_allclose(z[:24], z[24:][::-1], atol=1e-5)


def slow_neighbours(h, speaker, k):
    """The definition, one clip at a time."""
    names = sorted(set(speaker))
    u = [h[i] - h[speaker == speaker[i]].mean(axis=0) for i in range(len(h))]

    def near(i, name):
        """Clips of a speaker, the one nearest to clip i first."""
        cosines = {
            j: u[i] @ u[j] / (np.linalg.norm(u[i]) * np.linalg.norm(u[j]))
            for j in range(len(h))
            if speaker[j] == name and j != i
        }
        return sorted(cosines, key=cosines.get, reverse=True)

    same = [near(i, speaker[i])[:k] for i in range(len(h))]
    other = np.full((len(h), len(names)), -1)
    for i in range(len(h)):
        for c, name in enumerate(names):
            j = near(i, name)[0]
            if name != speaker[i] and near(j, speaker[i])[0] == i:
                other[i, c] = j
    return np.array(same), other


def test_neighbours_are_their_definition():
    rng = np.random.default_rng(0)
    h, speaker = (
        rng.normal(size=(30, 2, 3)) + 5,
        rng.permutation(np.repeat([*"abc"], 10)),
    )
    same, other = audio.neighbours(h, speaker, k=3)
    expected = slow_neighbours(h.reshape(30, 6), speaker, 3)
    assert np.array_equal(same, expected[0]) and np.array_equal(other, expected[1])
    assert 0 < (other >= 0).mean() < 0.6
    with pytest.raises(ValueError, match="k must be below"):
        audio.neighbours(h, speaker, k=10)


def test_pairs_have_the_partners_they_should():
    n = 4000
    pictures = np.arange(n, dtype="float32")[:, None]
    same = np.stack([np.arange(n) + 10_000, np.arange(n) + 20_000], axis=1) % n
    other = np.full((n, 3), -1)
    other[: n // 2, 1] = (np.arange(n // 2) + 1) % n
    pairs = audio.NeighbourPairs(pictures, same, other, (0.5, 0.3), batch_size=1000)
    assert len(pairs) == 4
    first, second = np.concatenate([pairs[i][0] for i in range(4)])[..., 0].T
    assert sorted(first) == list(range(n))
    step = (second - first) % n
    has = first < n // 2
    # A neighbour of the same speaker is 2,000 further, or (20,000 = 5 n) itself.
    for where, shares in ((has, (0.5, 0.3)), (~has, (0.5, 0.0))):
        assert np.mean(step[where] == 2000) == pytest.approx(shares[0] / 2, abs=0.03)
        assert np.mean(step[where] == 1) == pytest.approx(shares[1], abs=0.03)
    assert set(step) == {0, 1, 2000}
    pairs.on_epoch_end()
    assert not np.array_equal(first[:1000], pairs[0][0][:, 0, 0])


def test_bad_pairs_are_named(pictures):
    same, other = audio.neighbours(pictures, ["a"] * 12 + ["b"] * 12)
    with pytest.raises(ValueError, match="shares must be"):
        audio.NeighbourPairs(pictures, same, other, (0.7, 0.5), 8)
    with pytest.raises(ValueError, match="batch_size must be"):
        audio.NeighbourPairs(pictures, same, other, batch_size=25)


def test_views_and_neighbours_train_an_encoder_of_words():
    digits = speech.synthesise(11)
    some = slice(None, None, 5)
    words, speaker = audio.word_image(digits.waves[some]), digits.speaker[some]
    keras.utils.set_random_seed(0)
    encoder = audio.encoder((4, 8, 8), 8)
    projector = networks.projector(32, 32, 16)
    offsets = audio.speaker_offsets(words, speaker)
    model = audio.PairSimCLR(encoder, projector, audio.word_views(offsets))
    model.compile(optimizer=keras.optimizers.Adam(1e-2))
    found = audio.neighbours(words, speaker)
    pairs = audio.NeighbourPairs(words, *found, batch_size=32)
    losses = model.fit(pairs, epochs=20, verbose=0).history["loss"]
    assert losses[-1] < 0.9 * losses[0]
    assert ops.shape(model.encoder(words)) == (132, 32)
