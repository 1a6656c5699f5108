"""Helpers for the course *Learning Features from Unlabelled Data*.

Every module belongs to a chapter and is meant to be read beside it. Import the
modules, not the names inside them, so that a line of a notebook says where a
function comes from::

    from sslkit import data, evaluate
"""

import os

# TensorFlow's C++ core writes notices to stderr, which notebooks would store as output.
# This silences those of running code, XLA's among them; `sslkit.record` silences those
# of the import. A level that the user has set already is kept.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

__version__ = "0.1.0"
