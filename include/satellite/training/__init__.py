"""Training: networks, the training loop, the steps that train, their metrics and model cards."""

import os

if "OMP_WAIT_POLICY" not in os.environ:
    # Before PyTorch is imported: a thread that waits for its peers spins for microseconds, not milliseconds. Alone it
    # makes no difference; beside other busy programs it spares two thirds of the time or more.
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
