"""How long people wait for the page “Status” while every daemon hangs; run by hand, and never by pytest.

    python -m tests.benchmarks.viewers --viewers 50 --seconds 20

Each viewer opens the page at some moment of the first seconds and then asks for news as its script does while probes are
at work: each second. Told are the milliseconds of all answers: median, 95th percentile, and the slowest.
"""

import argparse
import random
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import tests.environment  # noqa: F401  first: it sets what Django reads

# isort: split
import django

django.setup()

from tests.server.viewers import Viewer, hanging  # noqa: E402


def _look(viewer: Viewer, seconds: float) -> list[float]:
    took, end, headers = [], time.monotonic() + seconds, {}
    time.sleep(random.random() * seconds / 4)
    while time.monotonic() < end:
        began = time.monotonic()
        viewer.get("/status/", **headers)
        took.append(1000 * (time.monotonic() - began))
        headers = {"HX-Request": "true"}
        time.sleep(max(0, 1 - took[-1] / 1000))
    return took


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--viewers", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=20)
    asked = parser.parse_args()
    with hanging("benchmark") as (panel, _fakes), ThreadPoolExecutor(asked.viewers) as many:
        viewer = Viewer(panel).sign_in()
        viewer.check_now()
        looks = many.map(lambda _number: _look(viewer, asked.seconds), range(asked.viewers))
        took = [milliseconds for look in looks for milliseconds in look]
    print(f"{len(took)} answers: median {statistics.median(took):.0f} ms", end="")
    print(f", 95 % within {statistics.quantiles(took, n=20)[-1]:.0f} ms, slowest {max(took):.0f} ms")


if __name__ == "__main__":
    main()
