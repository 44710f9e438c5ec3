"""Whether Spark can run here, and the one session of all tests."""

import os
import shutil
from importlib.util import find_spec

import pytest


def missing_spark() -> str | None:
    """Return why Spark cannot run here; None if it can."""
    if find_spec("pyspark") is None:
        return "pyspark is not installed: make test-spark"
    if shutil.which("java") is None and not os.environ.get("JAVA_HOME"):
        return "Java is not installed: apt-get install openjdk-17-jre-headless"
    return None


needs_spark = pytest.mark.skipif(missing_spark() is not None, reason=str(missing_spark()))
"""Mark of tests that run Spark. Its start takes longer than any other test."""
