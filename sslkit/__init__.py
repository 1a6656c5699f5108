"""Helpers for the course *Learning Features from Unlabelled Data*.

Every module belongs to a chapter and is meant to be read beside it. Import the
modules, not the names inside them, so that a line of a notebook says where a
function comes from::

    from sslkit import data, evaluate
"""

import os

# TensorFlow's C++ core writes start-up notices to stderr. A notebook stores them as
# output, so they are silenced here, before anything imports TensorFlow; a level
# that the user has set already is kept.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

__version__ = "0.1.0"
