"""Clusters as targets, and a network that is its own teacher.

Chapter *Clustering and self-distillation*. All three models ask that two views of an
example are sorted alike, and all three could do that by putting everything in one
place. `SwAV` makes its targets balanced, `DINO` centres and sharpens them, and `IIC`
maximises something that one place does not have.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from sslkit import networks
from sslkit.base import follow, moving_copy
from sslkit.contrastive import TwoViews
from sslkit.distribute import gather, share


def sinkhorn(scores: Any, epsilon: float = 0.05, steps: int = 3) -> Any:
    r"""Share examples out to clusters so that all clusters get equally much.

    $$Q = \operatorname*{arg\,max}_{Q} \sum_{ik} Q_{ik} s_{ik}
      - \epsilon \sum_{ik} Q_{ik} \log Q_{ik}, \qquad
      \sum_k Q_{ik} = 1, \quad \sum_i Q_{ik} = B / K$$

    Starting from $e^{s/\epsilon}$, each step makes the columns sum to the same
    number and then the rows to 1, until both hold (Sinkhorn and Knopp). Computed with
    logarithms, which cannot overflow. Caron et al., arXiv 2006.09882, section 3.1;
    Cuturi, arXiv 1306.0895.

    Args:
        scores: Similarities $s$ of $B$ examples to $K$ clusters, `[batch, K]`.
        epsilon: $\epsilon$, above 0: the smaller, the harder the assignment.
        steps: Number of steps, at least 0. With 0 nothing is balanced, and each row
            is the softmax of $s/\epsilon$.

    Returns:
        $Q$, float32 `[batch, K]`. Rows sum to 1; columns to $B/K$, the more exactly
        the more steps are taken.

    Raises:
        ValueError: If `scores` is no matrix, `epsilon` is not above 0, or `steps` is
            below 0.

    Example:
        >>> import numpy as np
        >>> scores = np.array([[1.0, 0.0], [0.9, 0.0]])  # both prefer cluster 0
        >>> print(np.asarray(sinkhorn(scores, 0.02, steps=20)).round(2) + 0.0)
        [[0.92 0.08]
         [0.08 0.92]]
    """
    _check_matrix("scores", scores)
    _check_positive("epsilon", epsilon)
    if steps < 0:
        raise ValueError(f"steps must be at least 0, got {steps!r}: pass, say, 3.")
    log_q = ops.cast(scores, "float32") / epsilon
    for _ in range(steps):
        log_q = ops.log_softmax(log_q, axis=0)
        log_q = ops.log_softmax(log_q, axis=1)
    return ops.softmax(log_q, axis=1)  # changes nothing after a step


def swapped_prediction(
    scores_a: Any,
    scores_b: Any,
    temperature: float = 0.1,
    epsilon: float = 0.05,
    steps: int = 3,
) -> Any:
    r"""Predict the cluster of each view from the other view.

    $$-\tfrac12 \sum_k \bigl(q_{b,k} \log p_{a,k} + q_{a,k} \log p_{b,k}\bigr), \qquad
      p = \operatorname{softmax}(s / \tau), \quad q = \operatorname{Sinkhorn}(s)$$

    No gradient flows into the targets $q$. If every score is the same, each loss is
    $\log K$. Caron et al., arXiv 2006.09882, equations 1 and 2.

    Args:
        scores_a: Cosines of the first views to $K$ clusters, `[batch, K]`.
        scores_b: The same for the second views.
        temperature: $\tau$, above 0.
        epsilon: As for `sinkhorn`.
        steps: As for `sinkhorn`.

    Returns:
        Losses in nats, float32 `[batch]`.

    Raises:
        ValueError: If the shapes differ or a setting is out of range.

    Example:
        >>> import numpy as np
        >>> same = np.ones((3, 4))
        >>> print(np.asarray(swapped_prediction(same, same)).round(4))  # log 4
        [1.3863 1.3863 1.3863]
    """
    _check_pair("scores_a", scores_a, "scores_b", scores_b)
    _check_positive("temperature", temperature)

    def half(target: Any, scores: Any) -> Any:
        q = ops.stop_gradient(sinkhorn(target, epsilon, steps))
        log_p = ops.log_softmax(ops.cast(scores, "float32") / temperature)
        return -ops.sum(q * log_p, axis=-1)

    return (half(scores_b, scores_a) + half(scores_a, scores_b)) / 2


def distillation(
    student: Any,
    teacher: Any,
    centre: Any,
    temperature: float = 0.1,
    teacher_temperature: float = 0.04,
) -> Any:
    r"""Cross-entropy of a student against a centred and sharpened teacher.

    $$-\sum_k t_k \log p_k, \qquad
      t = \operatorname{softmax}\Bigl(\frac{a_t - c}{\tau_t}\Bigr), \quad
      p = \operatorname{softmax}\Bigl(\frac{a_s}{\tau_s}\Bigr)$$

    No gradient flows into the target $t$. Subtracting the centre $c$ keeps one
    output from winning everywhere; $\tau_t < \tau_s$ keeps the target from becoming
    uniform. Caron et al., arXiv 2104.14294, equation 1 and section 3.1.

    Args:
        student: Outputs $a_s$ of the student, `[batch, K]`.
        teacher: Outputs $a_t$ of the teacher for another view, same shape.
        centre: $c$, the mean output of the teacher, `[K]`, or 0 for none.
        temperature: $\tau_s$, above 0.
        teacher_temperature: $\tau_t$, above 0.

    Returns:
        Losses in nats, float32 `[batch]`, at least the entropy of the target.

    Raises:
        ValueError: If the shapes differ or a temperature is not above 0.

    Example:
        >>> import numpy as np
        >>> a = np.zeros((2, 8))
        >>> print(np.asarray(distillation(a, a, 0.0)).round(4))  # log 8
        [2.0794 2.0794]
    """
    _check_pair("student", student, "teacher", teacher)
    _check_positive("temperature", temperature)
    _check_positive("teacher_temperature", teacher_temperature)
    student, teacher, centre = (
        ops.cast(each, "float32") for each in (student, teacher, centre)
    )
    target = ops.stop_gradient(ops.softmax((teacher - centre) / teacher_temperature))
    return -ops.sum(target * ops.log_softmax(student / temperature), axis=-1)


def mutual_information(p_a: Any, p_b: Any) -> Any:
    r"""Mutual information of the clusters of two views of the same examples.

    $$I = \sum_{kl} P_{kl} \log \frac{P_{kl}}{P_k P_l}, \qquad
      P = \frac{1}{2B} \sum_{i=1}^{B}
      \bigl(p_{a,i}\, p_{b,i}^\top + p_{b,i}\, p_{a,i}^\top\bigr)$$

    with $P_k$ the sums of the rows (or columns) of $P$. It is 0 if one view tells
    nothing about the other, or if there is one cluster for all, and has its maximum
    $\log K$ if and only if both views always get the same cluster, without doubt, and
    all clusters are equally frequent. Ji et al., arXiv 1807.06653, equations 2 and 3.

    Args:
        p_a: Probabilities of $K$ clusters for the first views, rows sum to 1,
            `[batch, K]`.
        p_b: The same for the second views of the same examples.

    Returns:
        One number in nats, float32, from 0 to $\log K$. It belongs to the batch, not
        to an example.

    Raises:
        ValueError: If the shapes differ.

    Example:
        >>> import numpy as np
        >>> print(f"{float(mutual_information(np.eye(4), np.eye(4))):.4f}")  # log 4
        1.3863
    """
    _check_pair("p_a", p_a, "p_b", p_b)
    p_a, p_b = ops.cast(p_a, "float32"), ops.cast(p_b, "float32")
    joint = ops.matmul(ops.transpose(p_a), p_b)
    joint = (joint + ops.transpose(joint)) / (2.0 * ops.sum(joint))
    marginal = ops.sum(joint, axis=0)
    independent = marginal[:, None] * marginal
    # A cell that is empty counts 0, and so does its gradient.
    ratio = _log(joint) - _log(independent)
    return ops.sum(joint * ratio)


@keras.saving.register_keras_serializable(package="sslkit")
class Prototypes(keras.layers.Layer):
    r"""Cosine of each example to each of $K$ learnt directions.

    $$s_k = \frac{c_k^\top z}{\lVert c_k \rVert \, \lVert z \rVert}$$

    Args:
        clusters: $K$, at least 1.
        **kwargs: `name` and `dtype` of the layer.

    Raises:
        ValueError: If `clusters` is not a positive integer.

    Example:
        >>> Prototypes(10)(ops.ones((2, 64))).shape
        TensorShape([2, 10])
    """

    def __init__(self, clusters: int, **kwargs: Any) -> None:
        """Keep the number; see the class for the arguments."""
        _check_clusters(clusters)
        super().__init__(**kwargs)
        self.clusters = clusters

    def build(self, input_shape: tuple) -> None:
        """Make the directions, one column each."""
        self.directions = self.add_weight(
            shape=(input_shape[-1], self.clusters),
            initializer="random_normal",
            name="directions",
        )

    def call(self, z: Any) -> Any:
        """Return cosines `[batch, K]` for `z`, `[batch, p]`."""
        return ops.matmul(
            ops.normalize(z, axis=-1), ops.normalize(self.directions, axis=0)
        )

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "clusters": self.clusters}


@keras.saving.register_keras_serializable(package="sslkit")
class Centre(keras.layers.Layer):
    r"""Running mean of what passes, $c \leftarrow m\, c + (1 - m)\, \bar a$.

    Args:
        momentum: $m$, from 0 to 1. With 1 the mean stays 0: there is no centring.
        **kwargs: `name` and `dtype` of the layer.

    Raises:
        ValueError: If `momentum` is out of range.

    Example:
        >>> centre = Centre(0.9)
        >>> _ = centre(ops.ones((4, 2)), training=True)
        >>> print(ops.convert_to_numpy(centre.mean).round(3))
        [0.1 0.1]
    """

    def __init__(self, momentum: float = 0.9, **kwargs: Any) -> None:
        """Keep the number; see the class for the arguments."""
        _check_momentum("momentum", momentum)
        super().__init__(**kwargs)
        self.momentum = momentum

    def build(self, input_shape: tuple) -> None:
        """Make the mean, 0 at first."""
        self.mean = self.add_weight(
            shape=(input_shape[-1],),
            initializer="zeros",
            trainable=False,
            name="mean",
        )

    def call(self, a: Any, training: bool = False) -> Any:
        """Return `a` as it is, `[batch, K]`, and follow its mean if `training`."""
        if training:
            new = ops.mean(gather(ops.stop_gradient(a)), axis=0)
            self.mean.assign(self.momentum * self.mean + (1 - self.momentum) * new)
        return a

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "momentum": self.momentum}


def cluster_head(
    inputs: int, clusters: int, hidden: int = 128, outputs: int = 64
) -> keras.Sequential:
    """Projector that ends in cosines to prototypes, for `SwAV` and `DINO`.

    The layers of `sslkit.networks.projector`, and `Prototypes`.

    Args:
        inputs: Length d of the feature vectors, at least 1.
        clusters: Number $K$ of prototypes.
        hidden: Units of the layer between.
        outputs: Length of the vectors that are compared with the prototypes.

    Returns:
        A model from `[batch, inputs]` to `[batch, clusters]`, from -1 to 1.

    Raises:
        ValueError: If a width or `clusters` is not a positive integer.

    Example:
        >>> cluster_head(128, 30).output_shape
        (None, 30)
    """
    layers = networks.projector(inputs, hidden, outputs).layers
    return keras.Sequential(
        [keras.Input((inputs,)), *layers, Prototypes(clusters)], name="cluster_head"
    )


@keras.saving.register_keras_serializable(package="sslkit")
class SwAV(TwoViews):
    r"""Encoder trained to sort two views of an example alike, into balanced clusters.

    The loss is `swapped_prediction` of the scores of the two views. Balancing is what
    forbids that all examples share one cluster. Caron et al., arXiv 2006.09882,
    without its many small crops and its queue of past features.

    Args:
        encoder: Model from examples `[batch, ...]` to features `[batch, d]`. After
            training, `model.encoder` is what the probes judge.
        projector: Model from features to cosines `[batch, K]`, such as
            `cluster_head`. `K` should be below the size of a batch.
        augment: Layer or model from examples to examples of the same shape that
            draws a random change when called with `training=True`.
        temperature: $\tau$ of the predictions, above 0.
        epsilon: As for `sinkhorn`.
        steps: As for `sinkhorn`. With 0 nothing is balanced, and clusters collapse.
        seed: Kept with the model.

    Raises:
        ValueError: If a setting is out of range.

    Example:
        >>> import numpy as np
        >>> from sslkit import augment, networks
        >>> model = SwAV(
        ...     networks.dense_encoder(8),
        ...     cluster_head(8, 10),
        ...     augment.RandomAffine(15, shift=2, seed=0),
        ... )
        >>> model.compile(optimizer="adam")
        >>> images = np.random.default_rng(0).random((32, 28, 28), "float32")
        >>> list(model.fit(images, verbose=0).history)
        ['loss']
    """

    def __init__(
        self,
        encoder: keras.Model,
        projector: keras.Model,
        augment: keras.Layer,
        temperature: float = 0.1,
        epsilon: float = 0.05,
        steps: int = 3,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """Keep the parts; see the class for the arguments."""
        _check_positive("temperature", temperature)
        _check_positive("epsilon", epsilon)
        super().__init__(encoder, projector, augment, seed, **kwargs)
        self.temperature = temperature
        self.epsilon = epsilon
        self.steps = steps

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Mean swapped prediction of the batch, in nats."""
        scores_a, scores_b = gather(*ops.split(y_pred, 2))
        settings = self.temperature, self.epsilon, self.steps
        return share(ops.mean(swapped_prediction(scores_a, scores_b, *settings)))

    def get_config(self) -> dict[str, Any]:
        """Configuration from which `from_config` makes the same architecture."""
        return {
            **super().get_config(),
            "temperature": self.temperature,
            "epsilon": self.epsilon,
            "steps": self.steps,
        }


@keras.saving.register_keras_serializable(package="sslkit")
class DINO(TwoViews):
    r"""Student that predicts what the mean of its past selves says of another view.

    The loss is `distillation`. After each step the teacher's weights $\xi$ move
    towards those of the student, $\xi \leftarrow m\, \xi + (1 - m)\, \theta$. Caron et
    al., arXiv 2104.14294, without its many small crops, and with a convolutional
    encoder.

    Args:
        encoder: Model from examples `[batch, ...]` to features `[batch, d]`, the
            student's. After training, `model.encoder` is what the probes judge.
        projector: Model from features to outputs `[batch, K]`, such as
            `cluster_head`.
        augment: Layer or model from examples to examples of the same shape that
            draws a random change when called with `training=True`.
        temperature: $\tau_s$ of the student, above 0.
        teacher_temperature: $\tau_t$, above 0; below $\tau_s$ it sharpens.
        momentum: $m$ of the teacher's weights, from 0 to 1.
        centre_momentum: As for `Centre`. With 1 nothing is centred.
        seed: Kept with the model.

    Raises:
        ValueError: If a setting is out of range.

    Example:
        >>> from sslkit import augment, networks
        >>> model = DINO(
        ...     networks.dense_encoder(8),
        ...     cluster_head(8, 10),
        ...     augment.RandomAffine(15, shift=2, seed=0),
        ... )
        >>> sorted(model(ops.zeros((4, 28, 28))))
        ['student', 'teacher']
    """

    def __init__(
        self,
        encoder: keras.Model,
        projector: keras.Model,
        augment: keras.Layer,
        temperature: float = 0.1,
        teacher_temperature: float = 0.04,
        momentum: float = 0.99,
        centre_momentum: float = 0.9,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """Keep the parts and make the teacher; see the class for the arguments."""
        _check_positive("temperature", temperature)
        _check_positive("teacher_temperature", teacher_temperature)
        _check_momentum("momentum", momentum)
        super().__init__(encoder, projector, augment, seed, **kwargs)
        self.temperature = temperature
        self.teacher_temperature = teacher_temperature
        self.momentum = momentum
        self.teacher = moving_copy(encoder, projector)
        self.centre = Centre(centre_momentum)
        self.centre.build(self.teacher.output_shape)

    def call(self, x: Any, training: bool = False) -> dict[str, Any]:
        """Show both networks two views of each example.

        Args:
            x: Examples, `[batch, ...]`.
            training: Passed to the networks. The views are drawn either way.

        Returns:
            Outputs `student` and `teacher`, both `[2 batch, K]`: all first views, then
            all second views.
        """
        views = self.views(x)
        h = self.encoder(views, training=training)
        return {
            "student": self.projector(h, training=training),
            "teacher": self.teacher(views, training=training),
        }

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Mean over both directions, in nats."""
        # The student sees one view, the teacher the other.
        teacher = ops.roll(y_pred["teacher"], ops.shape(y_pred["teacher"])[0] // 2, 0)
        losses = distillation(
            y_pred["student"],
            teacher,
            self.centre.mean,
            self.temperature,
            self.teacher_temperature,
        )
        self.centre(teacher, training=training)
        return share(ops.mean(losses))

    def train_step(self, data: Any) -> dict[str, Any]:
        """Take a step of the student, then let the teacher follow."""
        logs: dict[str, Any] = super().train_step(data)
        follow(self.teacher, (self.encoder, self.projector), self.momentum)
        return logs

    def get_config(self) -> dict[str, Any]:
        """Configuration from which `from_config` makes the same architecture."""
        return {
            **super().get_config(),
            "temperature": self.temperature,
            "teacher_temperature": self.teacher_temperature,
            "momentum": self.momentum,
            "centre_momentum": self.centre.momentum,
        }


@keras.saving.register_keras_serializable(package="sslkit")
class IIC(TwoViews):
    r"""Network that sorts examples into clusters which both views agree on.

    The loss is $-I$, `mutual_information` of the clusters of the two views, averaged
    over the heads. A head with more clusters than are wanted helps the encoder ("over-
    clustering"). Ji et al., arXiv 1807.06653.

    Args:
        encoder: Model from examples `[batch, ...]` to features `[batch, d]`. After
            training, `model.encoder` is what the probes judge.
        projector: Model from features to logits of all heads side by side, such as
            `networks.projector(d, outputs=sum(clusters))`.
        augment: Layer or model from examples to examples of the same shape that
            draws a random change when called with `training=True`.
        clusters: Number of clusters of each head. The first head is what `assign`
            reads.
        seed: Kept with the model.

    Raises:
        ValueError: If a number of clusters is not a positive integer, or together
            they are not the outputs of the projector.

    Example:
        >>> import numpy as np
        >>> from sslkit import augment, networks
        >>> model = IIC(
        ...     networks.dense_encoder(8),
        ...     networks.projector(8, outputs=40),
        ...     augment.RandomAffine(15, shift=2, seed=0),
        ...     clusters=(10, 30),
        ... )
        >>> model.assign(np.zeros((4, 28, 28))).shape
        TensorShape([4, 10])
    """

    def __init__(
        self,
        encoder: keras.Model,
        projector: keras.Model,
        augment: keras.Layer,
        clusters: Sequence[int] = (10,),
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """Keep the parts; see the class for the arguments."""
        for number in clusters:
            _check_clusters(number)
        if projector.output_shape[-1] != sum(clusters):
            raise ValueError(
                f"clusters {tuple(clusters)} need {sum(clusters)} outputs, but the "
                f"projector has {projector.output_shape[-1]}: give it as many."
            )
        super().__init__(encoder, projector, augment, seed, **kwargs)
        self.clusters = tuple(clusters)

    def heads(self, logits: Any) -> list[Any]:
        """Probabilities of the clusters of each head.

        Args:
            logits: What the projector returns, `[batch, sum of clusters]`.

        Returns:
            One array `[batch, K]` per head; rows sum to 1.
        """
        ends = [sum(self.clusters[: i + 1]) for i in range(len(self.clusters) - 1)]
        logits = ops.cast(logits, "float32")
        return [ops.softmax(each) for each in ops.split(logits, ends, axis=-1)]

    def assign(self, x: Any) -> Any:
        """Sort examples as they are, without a random change.

        Args:
            x: Examples, `[batch, ...]`.

        Returns:
            Probabilities of the first head's clusters, `[batch, K]`.
        """
        return self.heads(self.projector(self.encoder(x)))[0]

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Minus the mutual information, mean over the heads, in nats."""
        views = [gather(*ops.split(p, 2)) for p in self.heads(y_pred)]
        found = [mutual_information(p_a, p_b) for p_a, p_b in views]
        return share(-sum(found) / len(found))

    def get_config(self) -> dict[str, Any]:
        """Configuration from which `from_config` makes the same architecture."""
        return {**super().get_config(), "clusters": self.clusters}


def _log(p: Any) -> Any:
    return ops.log(ops.maximum(p, 1e-12))


def _check_positive(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be above 0, got {value!r}: pass, say, 0.1.")


def _check_momentum(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must be from 0 to 1, got {value!r}: pass, say, 0.9.")


def _check_clusters(number: int) -> None:
    if not isinstance(number, int) or number < 1:
        raise ValueError(
            f"clusters must be a positive integer, got {number!r}: pass, say, 10."
        )


def _check_matrix(name: str, array: Any) -> None:
    if len(array.shape) != 2:
        raise ValueError(
            f"{name} must have shape [batch, K], got {tuple(array.shape)}: one row an "
            "example, one column a cluster."
        )


def _check_pair(name: str, array: Any, other_name: str, other: Any) -> None:
    _check_matrix(name, array)
    _check_matrix(other_name, other)
    # Inside a traced function the batch size is unknown (None) and matches any.
    if any(
        a != b and None not in (a, b)
        for a, b in zip(array.shape, other.shape, strict=True)
    ):
        raise ValueError(
            f"{name} and {other_name} must have the same shape, got "
            f"{tuple(array.shape)} and {tuple(other.shape)}: both need a row for each "
            "example and a column for each cluster."
        )
