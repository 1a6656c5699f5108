"""Makes this folder the package `sslkit.registry`, so that a wheel carries it too."""
