"""What grows with the texts lies in nameless files, mapped into memory: the kernel takes pages back as it needs."""

from typing import IO, Any

import numpy as np
import numpy.typing as npt


def mapped(file: IO[bytes], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return what was written to a temporary file, flat; the file may be closed, and is gone with the array."""
    file.flush()
    return np.asarray(np.memmap(file, dtype, "r+")) if file.tell() else np.empty(0, dtype)
