"""Images per second of SimCLR with one encoder, in ours and in others' ways.

Run as `python benchmarks/simclr.py`; what is measured, and how, is in README.md beside
this file. Needs Linux or macOS.
"""

import math
from typing import Any

from rounds import (
    BATCH,
    Result,
    benchmark,
    plain_pixels,
    tensor_batches,
    torch_parameters,
    train,
    train_torch,
    training_images,
)
from simclr_to_accuracy import (
    CHANNELS,
    FEATURES,
    keras_batches,
    keras_model,
    lightly_loader,
    lightly_networks,
)

TEMPERATURE = 0.2
VARIANTS = {
    "plain": "recipe of the Keras example",
    "torch": "lightly's loss and head, both views one affine warp in PyTorch",
    "torch+lightly": "the same with lightly's views, two workers",
    "sslkit": "`sslkit.contrastive.SimCLR`, `digit_views`",
    "sslkit+affine": "the same without the bend",
}


def plain_way(steps: int) -> Result:
    """Train by the recipe of the Keras example, in batches of our size."""
    model = keras_model(flip=True)
    found = train(model, keras_batches(plain_pixels(), BATCH), steps)
    return {**found, "parameters": trained(model.encoder)}


def warp(images: Any) -> Any:
    """Turn, scale, shear, shift and brighten tensors `[batch, 1, 28, 28]`.

    The ranges are those of `digit_views`, in one bilinear warp, without its bend.
    """
    import torch
    from torch.nn.functional import affine_grid, grid_sample

    def between(low: float, high: float, *shape: int) -> Any:
        return low + (high - low) * torch.rand(len(images), *shape)

    angle = between(-math.radians(20), math.radians(20))
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], dim=-1)
    turn = turn.view(-1, 2, 2)
    change = torch.diag_embed(1 / between(0.75, 1.25, 2))
    change[:, 0, 1] = between(-0.3, 0.3)
    shift = between(-2 * 3 / 28, 2 * 3 / 28, 2, 1)
    theta = torch.cat([turn @ change, shift], dim=-1)
    grid = affine_grid(theta, list(images.shape), align_corners=False)
    moved = grid_sample(images, grid, align_corners=False)
    return (moved * between(0.7, 1.3, 1, 1, 1)).clamp(0, 1)


def torch_way(steps: int, views: bool) -> Result:
    """Train in PyTorch with lightly's parts; `views` says whether with its views."""
    import torch
    from lightly.loss import NTXentLoss

    encoder, head = lightly_networks()
    weights = [*encoder.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(weights, lr=2e-3)
    criterion = NTXentLoss(temperature=TEMPERATURE)

    def step(pair: Any) -> Any:
        first, second = pair
        z_a, z_b = head(encoder(torch.cat([first, second]))).chunk(2)
        loss = criterion(z_a, z_b)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return {"loss": loss}

    if views:
        pairs = iter(lightly_loader(plain_pixels(), workers=2))
    else:
        images = torch.as_tensor(plain_pixels())[:, None].float().div_(255)
        batches = tensor_batches(images, torch.Generator().manual_seed(0))
        pairs = ((warp(batch), warp(batch)) for batch in batches)
    return {**train_torch(step, pairs, steps), "parameters": torch_parameters(encoder)}


def our_way(steps: int, bend: bool) -> Result:
    """Train with the package, as the chapter on contrastive learning does."""
    import keras

    from sslkit import augment, contrastive, data, networks

    views: keras.Layer = contrastive.digit_views()
    if not bend:
        affine = augment.RandomAffine(20, (0.75, 1.25), 0.3, 3, seed=0)
        gain = augment.RandomGain(0.7, 1.3, seed=0)
        views = keras.Sequential([keras.Input((28, 28)), affine, gain])
    encoder = networks.batchnorm_encoder(FEATURES, CHANNELS, momentum=0.9)
    projector = networks.projector(FEATURES)
    model = contrastive.SimCLR(encoder, projector, views, TEMPERATURE)
    model.compile(optimizer=keras.optimizers.Adam(2e-3))
    batches = data.batches(training_images(), BATCH)
    found = train(model, batches, steps, shuffle=False)
    return {**found, "parameters": trained(encoder)}


def trained(encoder: Any) -> int:
    """Number of weights of an encoder that are trained."""
    return sum(weight.shape.num_elements() for weight in encoder.trainable_weights)


def measure(variant: str, steps: int) -> Result:
    """Train one variant in this process, which must be fresh."""
    if variant == "plain":
        return plain_way(steps)
    if variant.startswith("torch"):
        return torch_way(steps, views=variant == "torch+lightly")
    return our_way(steps, bend=variant == "sslkit")


if __name__ == "__main__":
    benchmark(__file__, __doc__.splitlines()[0], VARIANTS, measure, "loss")
