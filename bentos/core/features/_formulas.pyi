import numpy as np
from numpy.typing import NDArray

COLUMN: int
FACT: int
CONSTANT: int
ADD: int
SUBTRACT: int
MULTIPLY: int
DIVIDE: int
SQUARE: int
BOTH: int
AT_LEAST_AS: int
AT_MOST_AS: int
SAME: int
NOT_BELOW: int
NOT_ABOVE: int
WHEN: int
SQRT: int
SIN: int
COS: int
ASIN: int

class Program:
    def __new__(cls, steps: bytes, results: bytes, /) -> Program: ...
    def run(self, columns: NDArray[np.float64], facts: bytes, out: NDArray[np.float64], /) -> None: ...
