"""The load of the GPU, as nvidia-smi reports it, while other processes compute."""
import statistics
import subprocess
import threading
import time
from typing import Any

COMMAND = ('nvidia-smi', '--query-gpu=utilization.gpu,memory.used', '--format=csv,noheader,nounits',
           '--loop-ms=100', '--id=0')


class Watch:
    """Samples ten times per second until :meth:`end`; without nvidia-smi there are no samples."""

    def __init__(self):
        self._samples: list[tuple] = []
        self._process = None
        try:
            self._process = subprocess.Popen(COMMAND, stdout=subprocess.PIPE, text=True,
                                             stderr=subprocess.DEVNULL)
        except OSError:
            return
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self._process.stdout:
            numbers = [float(word) for word in line.split(',') if word.strip().isdigit()]
            if len(numbers) == 2:
                self._samples.append((time.perf_counter(), *numbers))

    def between(self, begin: float, end: float) -> dict[str, Any] | None:
        """The load from ``begin`` to ``end``, in seconds of ``time.perf_counter``.

        Returns:
            ``percent_busy``, a list over time, its ``mean``, and ``mib_used``, the largest memory
            in MiB; None without a sample.
        """
        samples = [sample for sample in self._samples if begin <= sample[0] <= end]
        if not samples:
            return None
        _, busy, used = zip(*samples)
        return {'percent_busy': list(busy), 'mean': statistics.mean(busy), 'mib_used': max(used)}

    def end(self) -> None:
        """Stop sampling."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
