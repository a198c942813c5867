"""The kernels that tests run on."""

from __future__ import annotations

import importlib.util
from typing import Final

import pytest

from ledger.engine.kernel import PYTHON, Kernel

KERNELS: Final = ["python", "native"]
"""What each of them is called, for `kernel_named`."""


def kernel_named(name: str) -> Kernel:
    """Return a kernel; skip the test where it is not installed."""
    if name == "python":
        return PYTHON
    if importlib.util.find_spec("logproof_native") is None:
        pytest.skip("needs logproof-native, which is not installed")
    from ledger.engine.native_kernel import NativeKernel

    return NativeKernel()
