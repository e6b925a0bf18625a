"""What nvidia-smi says of the GPU's load while others use it."""
import statistics
import subprocess
import threading
import time

COMMAND = ('nvidia-smi', '--query-gpu=utilization.gpu,memory.used', '--format=csv,noheader,nounits',
           '--loop-ms=100', '--id=0')


class Watch:
    """Samples from now on, ten a second; none where there is no nvidia-smi."""

    def __init__(self):
        self._samples, self._process = [], None
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

    def between(self, begin, end):
        """The samples of a span of ``time.perf_counter``.

        Returns:
            dict: ``percent_busy``, a list over time, its ``mean``, and ``mib_used`` at most; None
            without a sample.
        """
        samples = [sample for sample in self._samples if begin <= sample[0] <= end]
        if not samples:
            return None
        _, busy, used = zip(*samples)
        return {'percent_busy': list(busy), 'mean': statistics.mean(busy), 'mib_used': max(used)}

    def end(self):
        """Stop sampling."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
