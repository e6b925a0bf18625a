"""The log of a run."""
import json


def log_without_time(out):
    """The entries of ``out/log`` without the elapsed time, which differs between equal runs."""
    return [{key: value for key, value in entry.items() if key != 'elapsed_time'}
            for entry in json.loads((out / 'log').read_text())]
