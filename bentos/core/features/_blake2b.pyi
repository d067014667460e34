import numpy as np
from numpy.typing import NDArray
from typing_extensions import Buffer

def hash_many(
    key: bytes, person: bytes, text: Buffer, offsets: NDArray[np.int32], out: NDArray[np.uint64], /
) -> None: ...
