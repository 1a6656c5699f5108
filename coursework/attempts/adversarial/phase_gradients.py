"""Attempts at `phase_gradients` of assignment 4.

`judge_loss` and `fool_loss` are given in the notebook.
"""

import tensorflow as tf
from keras import ops


def right_three_tapes(encoder, decoder, discriminator, images, prior_codes):
    """One tape for each phase, and the codes held constant in the second."""
    with tf.GradientTape() as tape:
        error = ops.mean((images - decoder(encoder(images))) ** 2)
    first = tape.gradient(error, encoder.trainable_weights + decoder.trainable_weights)
    codes = ops.stop_gradient(encoder(images))
    with tf.GradientTape() as tape:
        loss = judge_loss(discriminator(prior_codes), discriminator(codes))
    second = tape.gradient(loss, discriminator.trainable_weights)
    with tf.GradientTape() as tape:
        loss = fool_loss(discriminator(encoder(images)))
    third = tape.gradient(loss, encoder.trainable_weights)
    return {"reconstruction": first, "discriminator": second, "encoder": third}


def right_helper(encoder, decoder, discriminator, images, prior_codes):
    """A function for the tape, another order, and NumPy arrays in the end."""

    def slopes(loss, *networks):
        weights = [w.value for network in networks for w in network.trainable_variables]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(weights)
            value = loss()
        return [g.numpy() for g in tape.gradient(value, weights)]

    def error():
        gap = ops.convert_to_tensor(images) - decoder(encoder(images))
        return ops.sum(gap * gap) / (images.shape[0] * images.shape[1])

    def judge():
        return judge_loss(discriminator(prior_codes), discriminator(encoder(images)))

    return {
        "encoder": slopes(lambda: fool_loss(discriminator(encoder(images))), encoder),
        "discriminator": slopes(judge, discriminator),
        "reconstruction": slopes(error, encoder, decoder),
    }


def right_one_batch(encoder, decoder, discriminator, images, prior_codes):
    """Draws and codes in one batch, taken apart where they meet; tuples."""
    k = len(prior_codes)
    with tf.GradientTape(persistent=True) as tape:
        codes = encoder(images)
        error = ops.mean(ops.mean(ops.square(decoder(codes) - images), axis=1))
        scores = discriminator(ops.concatenate([prior_codes, codes], axis=0))
        judge, fool = judge_loss(scores[:k], scores[k:]), fool_loss(scores[k:])
    n = len(encoder.trainable_weights)
    weights = encoder.trainable_weights + decoder.trainable_weights
    first = tape.gradient(error, weights)
    return {
        "reconstruction": (*first[:n], *first[n:]),
        "discriminator": tuple(tape.gradient(judge, discriminator.trainable_weights)),
        "encoder": tuple(tape.gradient(fool, weights[:n])),
    }


def _gradients(encoder, decoder, discriminator, error, judge, fool):
    """The three gradients of losses that are given as functions."""
    with tf.GradientTape(persistent=True) as tape:
        first, second, third = error(), judge(), fool()
    both = encoder.trainable_weights + decoder.trainable_weights
    return {
        "reconstruction": tape.gradient(first, both),
        "discriminator": tape.gradient(second, discriminator.trainable_weights),
        "encoder": tape.gradient(third, encoder.trainable_weights),
    }


def _losses(encoder, decoder, discriminator, images, prior_codes):
    """The right losses, as functions."""
    return {
        "error": lambda: ops.mean((images - decoder(encoder(images))) ** 2),
        "judge": lambda: judge_loss(
            discriminator(prior_codes), discriminator(encoder(images))
        ),
        "fool": lambda: fool_loss(discriminator(encoder(images))),
    }


def wrong_sides_exchanged(encoder, decoder, discriminator, images, prior_codes):
    """Takes the codes of the encoder for the real side."""
    losses = _losses(encoder, decoder, discriminator, images, prior_codes)
    losses["judge"] = lambda: judge_loss(
        discriminator(encoder(images)), discriminator(prior_codes)
    )
    return _gradients(encoder, decoder, discriminator, **losses)


def wrong_cut(encoder, decoder, discriminator, images, prior_codes):
    """Holds the codes constant in the third phase too."""
    losses = _losses(encoder, decoder, discriminator, images, prior_codes)
    losses["fool"] = lambda: fool_loss(
        discriminator(ops.stop_gradient(encoder(images)))
    )
    return _gradients(encoder, decoder, discriminator, **losses)


def wrong_fools_with_the_prior(encoder, decoder, discriminator, images, prior_codes):
    """Scores the draws where the codes belong."""
    losses = _losses(encoder, decoder, discriminator, images, prior_codes)
    losses["fool"] = lambda: fool_loss(discriminator(prior_codes))
    return _gradients(encoder, decoder, discriminator, **losses)


def wrong_zero_sum(encoder, decoder, discriminator, images, prior_codes):
    """The encoder raises the loss of the discriminator."""
    losses = _losses(encoder, decoder, discriminator, images, prior_codes)
    losses["fool"] = lambda: -losses["judge"]()
    return _gradients(encoder, decoder, discriminator, **losses)


def wrong_ascends(encoder, decoder, discriminator, images, prior_codes):
    """Climbs with the discriminator, as the paper says of the value of the game."""
    losses = _losses(encoder, decoder, discriminator, images, prior_codes)
    told = _gradients(encoder, decoder, discriminator, **losses)
    told["discriminator"] = [-g for g in told["discriminator"]]
    return told


def wrong_one_loss(encoder, decoder, discriminator, images, prior_codes):
    """Adds the three losses up and gives the sum to everybody."""
    losses = _losses(encoder, decoder, discriminator, images, prior_codes)

    def total():
        return losses["error"]() + losses["judge"]() + losses["fool"]()

    return _gradients(encoder, decoder, discriminator, total, total, total)


def wrong_autoencoder_against_judge(
    encoder, decoder, discriminator, images, prior_codes
):
    """The third phase belongs to the encoder, and has the decoder's weights as well."""
    losses = _losses(encoder, decoder, discriminator, images, prior_codes)
    told = _gradients(encoder, decoder, discriminator, **losses)
    told["encoder"] = told["encoder"] + [0 * w for w in decoder.trainable_weights]
    return told


def wrong_moves_the_judge(encoder, decoder, discriminator, images, prior_codes):
    """The third phase moves the discriminator along, which learns to be deceived."""
    losses = _losses(encoder, decoder, discriminator, images, prior_codes)
    told = _gradients(encoder, decoder, discriminator, **losses)
    with tf.GradientTape() as tape:
        loss = losses["fool"]()
    weights = encoder.trainable_weights + discriminator.trainable_weights
    return {**told, "encoder": tape.gradient(loss, weights)}


def wrong_judges_reconstructions(encoder, decoder, discriminator, images, prior_codes):
    """Encodes the copies once more before they are judged."""
    losses = _losses(encoder, decoder, discriminator, images, prior_codes)

    def again():
        return discriminator(encoder(decoder(encoder(images))))

    losses["judge"] = lambda: judge_loss(discriminator(prior_codes), again())
    losses["fool"] = lambda: fool_loss(again())
    return _gradients(encoder, decoder, discriminator, **losses)


def wrong_halves(encoder, decoder, discriminator, images, prior_codes):
    """One batch of draws and codes, cut in the middle whatever their numbers."""
    losses = _losses(encoder, decoder, discriminator, images, prior_codes)

    def judge():
        together = ops.concatenate([prior_codes, encoder(images)], axis=0)
        scores = discriminator(together)
        half = scores.shape[0] // 2
        return judge_loss(scores[:half], scores[half:])

    return _gradients(encoder, decoder, discriminator, **{**losses, "judge": judge})


def wrong_sum_over_pixels(encoder, decoder, discriminator, images, prior_codes):
    """Adds the pixels of an image up."""
    losses = _losses(encoder, decoder, discriminator, images, prior_codes)
    losses["error"] = lambda: ops.mean(
        ops.sum((images - decoder(encoder(images))) ** 2, axis=-1)
    )
    return _gradients(encoder, decoder, discriminator, **losses)


def wrong_decoder_first(encoder, decoder, discriminator, images, prior_codes):
    """The weights of the decoder before those of the encoder."""
    losses = _losses(encoder, decoder, discriminator, images, prior_codes)
    told = _gradients(encoder, decoder, discriminator, **losses)
    n = len(encoder.trainable_weights)
    first = told["reconstruction"]
    return {**told, "reconstruction": first[n:] + first[:n]}


def wrong_step_between(encoder, decoder, discriminator, images, prior_codes):
    """Takes the step of the discriminator before the encoder's gradient."""
    losses = _losses(encoder, decoder, discriminator, images, prior_codes)
    told = _gradients(encoder, decoder, discriminator, **losses)
    for w, g in zip(
        discriminator.trainable_weights, told["discriminator"], strict=True
    ):
        w.assign_sub(0.1 * g)
    again = _gradients(encoder, decoder, discriminator, **losses)
    return {**told, "encoder": again["encoder"]}


def wrong_stays_frozen(encoder, decoder, discriminator, images, prior_codes):
    """Freezes the discriminator for the third phase and forgets to thaw it."""
    losses = _losses(encoder, decoder, discriminator, images, prior_codes)
    told = _gradients(encoder, decoder, discriminator, **losses)
    discriminator.trainable = False
    return told


def wrong_frozen_too(encoder, decoder, discriminator, images, prior_codes):
    """All weights, and not only those that can be trained."""
    losses = _losses(encoder, decoder, discriminator, images, prior_codes)
    with tf.GradientTape(persistent=True) as tape:
        first, second, third = (losses[k]() for k in ("error", "judge", "fool"))
    return {
        "reconstruction": tape.gradient(first, encoder.weights + decoder.weights),
        "discriminator": tape.gradient(second, discriminator.weights),
        "encoder": tape.gradient(third, encoder.weights),
    }


def wrong_hard_coded(encoder, decoder, discriminator, images, prior_codes):
    """Answers the visible check and nothing else."""
    return {"reconstruction": [[0.0], [0.0]], "discriminator": [0.0], "encoder": [12.0]}
