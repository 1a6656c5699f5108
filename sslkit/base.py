"""What models made of several networks share (part *Algorithms*).

`Composite` saves and loads a model whose networks are arguments of its constructor.
`Adversarial` adds one optimizer per player. `moving_copy` and `follow` keep a slow copy
of networks. None of them trains anything: the algorithm of a chapter is all in its own
module.
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

import keras
import tensorflow as tf
from keras import ops

from sslkit import distribute


class Composite(keras.Model):
    """A model whose networks are arguments of its constructor.

    A subclass names those arguments in `parts`, sets them as attributes, and adds its
    other arguments in `get_config`. `.keras` files then hold everything that further
    training depends on: networks, optimizers, and the state of the model's random
    numbers, which Keras leaves out (`seed_generator`). A loaded model goes on exactly
    as the saved one would have, given the same batches.

    Args:
        seed: Integer that fixes the model's random numbers.
        **kwargs: `name` and `dtype` of the model.

    Raises:
        ValueError: If `seed` is not an integer.
    """

    parts: ClassVar[tuple[str, ...]] = ()

    def __init__(self, seed: int = 0, **kwargs: Any) -> None:
        """Make the generator of random numbers; see the class for the arguments."""
        if not isinstance(seed, int):
            raise ValueError(f"seed must be an int, got {seed!r}: pass, say, seed=0.")
        super().__init__(**kwargs)
        self.seed = seed
        self.seed_generator = distribute.SeedGenerator(seed)

    def get_config(self) -> dict[str, Any]:
        """Configuration from which `from_config` makes the same architecture."""
        networks = {
            name: keras.saving.serialize_keras_object(getattr(self, name))
            for name in self.parts
        }
        return {**super().get_config(), "seed": self.seed, **networks}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        """Make a model from `get_config`'s answer."""
        networks = {
            name: keras.saving.deserialize_keras_object(config[name])
            for name in cls.parts
        }
        return cls(**{**config, **networks})

    # The two hooks below concern what a model owns besides its networks. Most own no
    # weights, so there is nothing of Keras's own to add; `MoCo` adds what it owns.

    def save_own_variables(self, store: Any) -> None:
        """Save the state of the random numbers."""
        store["seed_generator"] = ops.convert_to_numpy(self.seed_generator.state)

    def load_own_variables(self, store: Any) -> None:
        """Load the state of the random numbers."""
        self.seed_generator.state.assign(store["seed_generator"])


def moving_copy(*networks: keras.Model) -> keras.Sequential:
    """Copy networks in a row, for a teacher that follows them slowly.

    Args:
        *networks: Built models, each taking what the one before returns.

    Returns:
        One model with the same weights, none of which an optimizer moves. Called with
        `training=True`, batch normalisation still uses the statistics of the batch.
    """
    copies = [keras.models.clone_model(network) for network in networks]
    for copy, network in zip(copies, networks, strict=True):
        copy.set_weights(network.get_weights())
    whole = keras.Sequential(copies)
    # Not through the layers: a frozen batch normalisation ignores the batch.
    for weight in whole.weights:
        weight.trainable = False
    return whole


def follow(copy: keras.Model, networks: Sequence[keras.Model], momentum: float) -> None:
    r"""Move a copy towards its networks: $\xi \leftarrow m\,\xi + (1 - m)\,\theta$.

    Args:
        copy: What `moving_copy` returned; its weights $\xi$ are changed.
        networks: The networks it was made from, with weights $\theta$.
        momentum: $m$, from 0 (become the network) to 1 (stay).
    """
    weights = [weight for network in networks for weight in network.weights]
    for target, source in zip(copy.weights, weights, strict=True):
        target.assign(momentum * target + (1 - momentum) * source)


class Adversarial(Composite):
    """A model whose networks are trained against one another.

    Each player has an optimizer. A subclass names them in `optimizers`, the first of
    them `optimizer`, says in `player` whose weights each one moves, and calls
    `minimize` once per player in its `train_step`. This class is the only one that
    needs TensorFlow, for the gradient.
    """

    optimizers: ClassVar[tuple[str, ...]] = ("optimizer", "d_optimizer")

    def player(self, optimizer: str) -> list[keras.Variable]:
        """Trainable weights that an optimizer, given by name, moves."""
        raise NotImplementedError

    def compile(self, **arguments: Any) -> None:
        """Take one optimizer per player.

        Args:
            **arguments: A Keras optimizer for each name in `optimizers`; besides,
                what `keras.Model.compile` takes, such as `jit_compile`.

        Raises:
            ValueError: If an optimizer is missing or two players share one: its
                moments belong to the weights of one player.
        """
        missing = [name for name in self.optimizers if name not in arguments]
        if missing:
            raise ValueError(
                f"compile needs an optimizer for {', '.join(missing)}: pass, say, "
                f"{missing[0]}=keras.optimizers.Adam(2e-4, beta_1=0.5)."
            )
        chosen = {
            name: keras.optimizers.get(arguments.pop(name)) for name in self.optimizers
        }
        if len({id(optimizer) for optimizer in chosen.values()}) < len(chosen):
            raise ValueError(
                "each player needs an optimizer of its own, got one object twice: "
                "make a second one."
            )
        super().compile(optimizer=chosen["optimizer"], **arguments)
        scaled = isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer)
        for name in self.optimizers[1:]:
            optimizer = chosen[name]
            if scaled and not isinstance(optimizer, type(self.optimizer)):
                optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
            setattr(self, name, optimizer)
        for name in self.optimizers:
            getattr(self, name).build(self.player(name))
        self._compile_arguments = arguments

    def get_compile_config(self) -> dict[str, Any]:
        """Return what `compile_from_config` needs to compile the model alike."""
        optimizers = {
            name: keras.saving.serialize_keras_object(getattr(self, name))
            for name in self.optimizers
        }
        return {**self._compile_arguments, **optimizers}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile as the saved model was; its moments are loaded afterwards."""
        optimizers = {
            name: keras.saving.deserialize_keras_object(config[name])
            for name in self.optimizers
        }
        self.compile(**{**config, **optimizers})

    def minimize(
        self,
        optimizer: str,
        loss: Callable[[], Any],
        tape: tf.GradientTape | None = None,
    ) -> Any:
        """Take one step of one player.

        Args:
            optimizer: Its name; `player` says which weights move. All others stay.
            loss: Function without arguments that computes the scalar to minimise.
            tape: Tape that recorded what the loss starts from, and goes on recording;
                a new one if left out.

        Returns:
            The loss before the step, with several replicas that of this one's examples.
        """
        chosen, variables = getattr(self, optimizer), self.player(optimizer)
        with tape or tf.GradientTape() as tape:
            value = loss()
            # In mixed precision, small gradients would vanish in float16.
            scaled = chosen.scale_loss(distribute.share(value))
        sources = [variable.value for variable in variables]
        chosen.apply(tape.gradient(scaled, sources), variables)
        return value
