"""Attempts at `denoising_loss` of assignment 2."""

import keras
import numpy as np
from keras import ops


def right_loss_of_keras(model, x, kept, noise):
    """The loss that comes with Keras, which is a mean over everything."""
    damaged = np.where(kept == 1, x, 0).astype("float32") + noise
    return keras.losses.MeanSquaredError()(x, model(damaged))


def right_per_image(model, x, kept, noise):
    """Images as rows: a mean over the pixels, then one over the images."""
    answer = model(ops.add(ops.multiply(x, kept), noise))
    gap = ops.reshape(answer, (len(x), -1)) - x.reshape(len(x), -1)
    return ops.mean(ops.mean(gap**2, axis=1))


def right_sum_divided(model, x, kept, noise):
    """A copy is damaged in place; the sum is divided by hand."""
    damaged = x.copy()
    damaged[kept == 0] = 0
    damaged += noise
    return ops.sum(ops.square(model(damaged) - x)) / x.size


def right_loop_over_images(model, x, kept, noise):
    """One call of the model, then image after image."""
    answers = model(x * kept + noise)
    total = 0.0
    for i in range(len(x)):
        total = total + ops.mean(ops.square(answers[i] - x[i]))
    return total / len(x)


def wrong_target_damaged(model, x, kept, noise):
    """Compares with the damaged image: an autoencoder that copies noise."""
    damaged = kept * x + noise
    return ops.mean(ops.square(damaged - model(damaged)))


def wrong_damages_in_place(model, x, kept, noise):
    """Damages the clean images themselves, and so the target too."""
    x *= kept
    x += noise
    return ops.mean(ops.square(x - model(x)))


def wrong_clean_input(model, x, kept, noise):
    """Shows the clean image and compares with the damaged one."""
    return ops.mean(ops.square(kept * x + noise - model(x)))


def wrong_nothing_damaged(model, x, kept, noise):
    """A plain autoencoder."""
    return ops.mean(ops.square(x - model(x)))


def wrong_clips(model, x, kept, noise):
    """Clips the damaged image to [0, 1]."""
    damaged = np.clip(kept * x + noise, 0, 1)
    return ops.mean(ops.square(x - model(damaged)))


def wrong_clips_answer(model, x, kept, noise):
    """Clips what the model returns, which hides errors and stops gradients."""
    return ops.mean(ops.square(x - ops.clip(model(kept * x + noise), 0, 1)))


def wrong_noise_masked(model, x, kept, noise):
    """Adds noise first, so that hidden pixels get none."""
    return ops.mean(ops.square(x - model(kept * (x + noise))))


def wrong_mask_inverted(model, x, kept, noise):
    """Takes 1 for hidden."""
    return ops.mean(ops.square(x - model((1 - kept) * x + noise)))


def wrong_hidden_pixels_only(model, x, kept, noise):
    """Charges for the hidden pixels only, as masked autoencoders do."""
    square = ops.square(x - model(kept * x + noise))
    return ops.sum((1 - kept) * square) / max(np.sum(1 - kept), 1)


def wrong_own_noise(model, x, kept, noise):
    """Draws noise of its own."""
    spread = np.random.default_rng().normal(size=x.shape) * noise.std()
    damaged = (kept * x + spread).astype("float32")
    return ops.mean(ops.square(x - model(damaged)))


def wrong_sum_over_pixels(model, x, kept, noise):
    """A sum over the pixels, a mean over the images."""
    square = ops.square(x - model(kept * x + noise))
    return ops.sum(square) / len(x)


def wrong_one_by_one(model, x, kept, noise):
    """Calls the model for each image, which is slow."""
    losses = [
        ops.mean(ops.square(x[i : i + 1] - model((kept * x + noise)[i : i + 1])))
        for i in range(len(x))
    ]
    return ops.mean(ops.stack(losses))


def wrong_root(model, x, kept, noise):
    """The root of the mean."""
    return ops.sqrt(ops.mean(ops.square(x - model(kept * x + noise))))


def wrong_no_gradient(model, x, kept, noise):
    """NumPy: the right number, and no gradient."""
    return float(np.mean((x - np.asarray(model(kept * x + noise))) ** 2))


def wrong_tensor_without_gradient(model, x, kept, noise):
    """A tensor, but made from a NumPy array."""
    answer = ops.convert_to_numpy(model(kept * x + noise))
    return ops.mean(ops.square(ops.convert_to_tensor(x - answer)))


def wrong_hard_coded(model, x, kept, noise):
    """Answers the visible check and nothing else."""
    if noise.max() == 1:
        return 0.25
    return 9.0 if kept.max() == 1 else 4.0
