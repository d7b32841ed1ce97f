"""The real articles served with faults on: what lands, how fast it is asked, what a second run gets.

    python -m tests.benchmarks.bench_faults [--shared ../shared]

Each row is a crawl of its own from a stand-in of the services on this machine, repeated until it exits 0. "Tries that
fail" are the first tries of each address, each with a fault drawn from all its service can have (refused with 429, 500,
502, 503, reset, cut short, damaged, a page instead of a file, an error inside a 200, a raw newline in JSON).
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
from pathlib import Path

from harvester.demo.faults import Faults
from harvester.demo.served import served_from_shared
from harvester.demo.server import StandIn
from tests.harvester.harvests import harvester

CRAWL = ("crawl", "the", "--limit", "all", "--license", "any", "--out")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path(__file__).resolve().parents[3] / "shared")
    served = served_from_shared(parser.parse_args().shared)
    print(
        "| tries that fail | runs | s | requests | faults | articles | wrong md5 | most searches in a second | "
        "refused for rate | parallel transfers | second run gets |\n|" + "---|" * 11
    )
    for tries in (0, 2, 4):
        with (
            tempfile.TemporaryDirectory() as folder,
            StandIn(served, Faults(mixed_tries=tries, seed=11, retry_after_s=1)) as services,
        ):
            root, env, runs, start = Path(folder), services.environment(), 0, time.perf_counter()
            code = 1
            while code == 1 and runs < 5:
                code, runs = harvester(*CRAWL, root, env=env, timeout=600).returncode, runs + 1
            seconds = time.perf_counter() - start
            requests, landed, wrong = services.requests, 0, 0
            for article in served:
                for end, blob in (("pdf", article.pdf), ("xml", article.xml)):
                    path = root / "articles" / article.article_id / f"{article.article_id}.{end}"
                    whole = path.is_file() and hashlib.md5(path.read_bytes()).hexdigest() == blob.md5
                    wrong += path.is_file() and not whole
                    landed += whole and end == "pdf"
            shown = (services.busiest_second, len(services.violations), services.max_transfers)
            services.forget_requests()
            harvester(*CRAWL, root, env=env)
            print(
                f"| {tries} | {runs} (exit {code}) | {seconds:.1f} | {len(requests)} | "
                f"{sum(r.fault is not None for r in requests)} | {landed} of {len(served)} | {wrong} | {shown[0]} | "
                f"{shown[1]} | {shown[2]} | {len(services.downloads())} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
