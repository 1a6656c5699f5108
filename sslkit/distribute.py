r"""Train on several devices or computers at once (page *From laptop to cluster*).

`tf.distribute` copies a model to every device. Such a copy, a *replica*, is given its
part of each batch. Keras adds up the gradients of the replicas, so that all of them
take the same step and stay equal. Made and compiled inside `strategy().scope()`, every
model of this package takes the very step that one device would take with the whole
batch::

    with distribute.strategy().scope():
        model = SimCLR(encoder(), projector(), views())
        distribute.synchronise(model)
        model.compile(optimizer=keras.optimizers.Adam(1e-3))
    with distribute.explain_lost_worker():
        model.fit(images, batch_size=512)  # of all replicas together

Three things would go wrong by themselves, and nothing would show it. A replica sees the
examples of its own part alone, where a loss compares examples (`gather`). The sum of
the gradients of means is as many times too long as there are replicas (`share`). And
all replicas would draw the same random numbers (`SeedGenerator`). On one device, each
of them does nothing at all.

**Equal parts.** All replicas need equally many examples of each batch: let their number
divide the size of a batch, and leave out a last batch that is smaller
(`drop_remainder=True` of `tf.data.Dataset.batch`). Several workers need the same
`keras.utils.set_random_seed`, or each would shuffle in an order of its own. Random
changes belong into the model. Mapped over a pipeline, they are drawn outside of the
replicas, and all workers draw the same. What a layer charges by `add_loss`, such as an
`activity_regularizer`, Keras keeps in one list for all replicas of a computer, and
mixes up; regularisation of weights is safe. `jit_compile` has to stay `"auto"`, which
then means no XLA: with `True`, TensorFlow refuses to train on several devices.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf
from keras import ops

STRATEGIES = ("auto", "one", "mirrored", "workers")
"""What `strategy` knows."""


def gather(*tensors: Any) -> Any:
    """Examples of all replicas, in the order of the whole batch, on every replica.

    The gradient goes back to where the examples came from: the one that a replica gets
    for its own is the sum of those that all replicas have for them.

    Args:
        *tensors: Arrays `[batch, ...]`; batch is the part of this replica.

    Returns:
        Arrays `[all, ...]`: one for one, a list for several. Outside of a replica, and
        if there is one only, what was passed.

    Example:
        >>> print(gather(ops.arange(3)))  # one device: nothing to be gathered
        tf.Tensor([0 1 2], shape=(3,), dtype=int32)
    """
    context = _replica()
    if context is None:
        found = list(tensors)
    else:
        found = context.all_gather(list(tensors), axis=0)
        for whole, part in zip(found, tensors, strict=True):
            whole.set_shape([None, *part.shape[1:]])  # which TensorFlow forgets
    return found if len(tensors) > 1 else found[0]


def share(loss: Any, weight: Any = None) -> Any:
    r"""What this replica adds to the loss of the whole batch.

    With $R$ replicas, Keras takes the step along $\sum_r \nabla \ell_r$. If $\ell_r$ is
    the mean over the examples of replica $r$, the mean over all of them is
    $\sum_r \ell_r / R$, and $\ell_r / R$ is a replica's share.

    The same division is right after `gather`. Each replica then computes the loss
    $\ell$ of the whole batch. The gradient of `gather` adds up $R$ equal pieces, one
    from each replica, and the division leaves one of them: the derivative of $\ell$ by
    the examples of this replica. Keras adds up what these contribute, and the sum is
    the gradient of $\ell$.

    Args:
        loss: Scalar: a mean over the examples of this replica, or, after `gather`, of
            all.
        weight: For a weighted mean, the sum of the weights of this replica; as a rule
            it differs between replicas, and the shares with it.

    Returns:
        The loss divided by $R$, or times the part that `weight` has in the sum of
        those of all replicas. Outside of a replica, and if there is one only, `loss`.

    Example:
        >>> share(0.5)  # one device: its share is the whole
        0.5
    """
    context = _replica()
    if context is None:
        return loss
    if weight is None:
        return loss / context.num_replicas_in_sync
    total = context.all_reduce(tf.distribute.ReduceOp.SUM, weight)
    return loss * tf.math.divide_no_nan(weight, total)


class SeedGenerator(keras.random.SeedGenerator):
    """Seeds of random numbers that differ from replica to replica.

    That of Keras has the same state everywhere, so that every replica would make the
    same random changes. Here the number of the replica goes into the seed. The state
    itself stays the same everywhere, and the first replica draws what one device does.

    Args:
        seed: Integer that fixes the sequence of seeds.
        **kwargs: `name`.

    Example:
        >>> mine, keras_own = SeedGenerator(3), keras.random.SeedGenerator(3)
        >>> bool(ops.all(mine.next() == keras_own.next()))
        True
    """

    # A prime, so that no two replicas meet when Keras takes the remainder.
    STEP = 2_654_435_761

    def next(self, ordered: bool = True) -> Any:
        """Return the next seed of this replica, two integers."""
        seed, context = super().next(ordered), _replica()
        if context is None:
            return seed
        number = ops.cast(context.replica_id_in_sync_group, seed.dtype)
        return seed + ops.stack([number * self.STEP, ops.zeros_like(number)])


def independent(layer: keras.Layer) -> keras.Layer:
    """Let a layer of Keras's own, such as dropout, draw anew on every replica.

    Args:
        layer: A layer or model; its layers, and theirs, are meant as well.

    Returns:
        The same layer, with a `SeedGenerator` of ours for each of Keras's.

    Example:
        >>> independent(keras.layers.Dropout(0.5, seed=0)).rate
        0.5
    """
    for each in layer._flatten_layers():
        for generator in each._seed_generators:
            # A layer that is built does not let another one be put in its place.
            generator.__class__ = SeedGenerator
    return layer


def synchronise(model: keras.Model) -> keras.Model:
    """Let every batch normalisation use mean and variance of the whole batch.

    Call it before `fit`. The setting is saved with the model. On one device it changes
    nothing but the last digits: the variance is computed by another formula.

    Args:
        model: A model; its networks, and theirs, are meant as well.

    Returns:
        The same model.

    Example:
        >>> layer = keras.layers.BatchNormalization()
        >>> _ = synchronise(keras.Sequential([keras.Sequential([layer])]))
        >>> layer.synchronized
        True
    """
    for layer in model._flatten_layers():  # `layers` would stop at the first level
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True
    return model


def strategy(name: str = "auto") -> tf.distribute.Strategy:
    """Choose where to train. Model and optimizers are to be made in its `scope()`.

    For several workers, call it before anything else of TensorFlow, and start the same
    program on each, with `TF_CONFIG` in the environment: JSON that has the addresses
    of all workers and says which of them this one is, such as
    `{"cluster": {"worker": ["a:2222", "b:2222"]}, "task": {"type": "worker",
    "index": 0}}`.

    Args:
        name: `"one"` device; `"mirrored"`: all GPUs of this computer, or its CPU;
            `"workers"`: all devices of all workers in `TF_CONFIG`; `"auto"`: workers
            if there are several, else GPUs if there are several, else one device.

    Returns:
        A `tf.distribute.Strategy`.

    Raises:
        ValueError: If `name` is none of these, or `TF_CONFIG` is needed and missing, or
            lacks something.

    Example:
        >>> strategy("one").num_replicas_in_sync
        1
    """
    if name not in STRATEGIES:
        raise ValueError(f"name must be one of {STRATEGIES}, got {name!r}.")
    workers = _workers() if name in ("auto", "workers") else 0
    if name == "workers" and not workers:
        raise ValueError(
            "name is 'workers', but the environment has no TF_CONFIG: set it for every "
            "worker, or pass 'auto'."
        )
    if name == "workers" or workers > 1:
        return _Workers()
    if name == "mirrored" or (
        name == "auto" and len(tf.config.get_visible_devices("GPU")) > 1
    ):
        devices = tf.config.list_logical_devices
        names = [each.name for each in devices("GPU") or devices("CPU")]
        return tf.distribute.MirroredStrategy(names)
    return tf.distribute.get_strategy()


class LostWorker(RuntimeError):
    """A worker was lost, so that the others cannot go on."""


@contextmanager
def explain_lost_worker() -> Iterator[None]:
    """Say in one sentence that a worker was lost, for code that trains inside.

    Workers hear of one another all the time. When one has been silent for about ten
    seconds, or at once if it was just sending, TensorFlow ends the step of all others
    with an error of many lines.

    Raises:
        LostWorker: If the code inside ends with such an error.

    Example:
        >>> with explain_lost_worker():
        ...     raise tf.errors.UnavailableError(None, None, "Socket closed")
        Traceback (most recent call last):
        sslkit.distribute.LostWorker: a worker was lost, ...
    """
    try:
        yield
    except (
        tf.errors.UnavailableError,
        tf.errors.AbortedError,
        tf.errors.DeadlineExceededError,
    ) as error:
        raise LostWorker(
            "a worker was lost, or cannot be reached, and the others cannot go on "
            "without it: look into its log, then start all workers again with --resume."
        ) from error


class _Workers(tf.distribute.MultiWorkerMirroredStrategy):
    """As TensorFlow's, but it reduces what Keras asks it to.

    Keras wants the mean of its logs, which are scalars, over their first axis, and of
    whole batches, which are tuples; both are refused (tensorflow issue 72388).
    """

    def reduce(self, reduce_op: Any, value: Any, axis: Any = None) -> Any:
        """Reduce `value` over replicas, and over `axis` if it has one."""
        if isinstance(value, (tuple, list, dict)):
            # A batch, of which Keras wants to know the shape.
            return tf.nest.map_structure(
                lambda each: self.experimental_local_results(each)[0], value
            )
        scalar = self.experimental_local_results(value)[0].shape.rank == 0
        return super().reduce(reduce_op, value, None if scalar else axis)


def _replica() -> Any:
    # Not while Keras builds a model, which is outside of all replicas.
    context = tf.distribute.get_replica_context()
    several = context is not None and context.num_replicas_in_sync > 1
    return context if several else None


def _workers() -> int:
    text = os.environ.get("TF_CONFIG")
    if not text:
        return 0
    form = (
        'pass {"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", '
        '"index": 0}}, with the index of this worker.'
    )
    try:
        config = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"TF_CONFIG must be JSON, got {text!r}: {form}") from error
    cluster, task = (
        config.get(key) if isinstance(config, dict) else None
        for key in ("cluster", "task")
    )
    if not isinstance(cluster, dict) or not isinstance(task, dict):
        raise ValueError(f"TF_CONFIG must have cluster and task, got {text!r}: {form}")
    jobs = {job: len(cluster.get(job, [])) for job in ("chief", "worker")}
    if task.get("index") not in range(jobs.get(str(task.get("type")), 0)):
        raise ValueError(f"task of TF_CONFIG must be in cluster, got {text!r}: {form}")
    return sum(jobs.values())
