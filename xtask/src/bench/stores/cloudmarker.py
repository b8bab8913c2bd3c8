"""Runs Cloudmarker's own workers around one of its stores, as its manager does: a process for the cloud, a process for the
store, and a multiprocessing queue between both. Prints the seconds from the start of the workers to their end, and those of processor
time that they used."""

import importlib
import json
import multiprocessing
import resource
import sys
import time

from cloudmarker import workers


class Records:
    """A cloud whose records are in memory already: reading them costs nothing here."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as lines:
            self._records = [json.loads(line) for line in lines]

    def read(self):
        return iter(self._records)

    def done(self):
        pass


def main():
    path, store_name, settings = sys.argv[1:]
    module, name = store_name.rsplit(".", 1)
    cloud = Records(path)
    # Made in the manager's process and used in the worker's, as release 0.1.0 does.
    store = getattr(importlib.import_module(module), name)(**json.loads(settings))
    queue = multiprocessing.Queue()
    version = time.strftime("%Y%m%d_%H%M%S", time.gmtime())
    reading = multiprocessing.Process(target=workers.cloud_worker, args=("bench", version, "cloud", cloud, [queue]))
    writing = multiprocessing.Process(target=workers.store_worker, args=("bench", version, "store", store, queue))
    begin = time.monotonic()
    writing.start()
    reading.start()
    reading.join()
    queue.put(None)
    writing.join()
    took = time.monotonic() - begin
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(took, used.ru_utime + used.ru_stime)


main()
