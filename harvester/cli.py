"""The command line: thin; each command calls one function of the pipeline and imports what is heavy inside."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from harvester import __version__
from harvester.evaluate.command import evaluate
from harvester.export.command import export
from harvester.opening import DONE, LEFT, NOT_STARTED, open_to_write, require_harvest
from harvester.pipeline.figure_command import figures
from harvester.pipeline.witness_command import witnesses
from harvester.report.command import report
from harvester.review.command import review
from harvester.upkeep import gc, merge

if TYPE_CHECKING:
    from harvester.catalog import Catalog
    from harvester.fetch.store import Store
    from harvester.pipeline.request import CrawlRequest

F = TypeVar("F", bound=Callable[..., Any])


class _OneSentence(click.Group):
    """Turns everything raised on purpose into one sentence on standard error and the right exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        from harvester.errors import CatalogError, FetchError, HarvestError, SourceError, UsageError

        try:
            return super().invoke(ctx)
        except (UsageError, SourceError, CatalogError) as error:
            code, message = NOT_STARTED, str(error)
        except FetchError as error:
            code, message = LEFT, f"{error} Run the same command again to continue."
        except HarvestError as error:
            code, message = LEFT, str(error)
        except KeyboardInterrupt:
            code, message = LEFT, "Interrupted; run the same command again to continue."
        except BrokenPipeError:
            code, message = LEFT, "The program that read the output went away."
        except OSError as error:
            where = f" ({error.filename})" if error.filename else ""
            code, message = (
                LEFT,
                f"Refused by the system: {error.strerror or error}{where}; run the command again to continue.",
            )
        click.echo(f"harvester: {message}", err=True)
        ctx.exit(code)


@click.group(cls=_OneSentence, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="harvester")
def main() -> None:
    """Harvest H&E snapshots from the open-access literature and estimate how large their pixels are.

    \b
    harvester demo                                                  the whole way on drawn articles, offline
    harvester run 'colorectal adenoma' --histology --out runs/adenoma --limit 20
    harvester status runs/adenoma
    harvester export runs/adenoma datasets/adenoma --format imagefolder
    """


def _out_option(f: F) -> F:
    return click.option(
        "--out",
        "out_dir",
        required=True,
        type=click.Path(file_okay=False, path_type=Path),
        help="The harvest's folder. An earlier run in it is continued.",
    )(f)


def _search_options(f: F) -> F:
    options = [
        click.option("--limit", default="100", show_default=True, metavar="N|all", help="Articles to take, or all."),
        click.option(
            "--source",
            type=click.Choice(["pmc", "europepmc"]),
            default="pmc",
            show_default=True,
            help="Where to search; the files always come from the PMC bucket.",
        ),
        click.option(
            "--license",
            "policy",
            default="remix",
            show_default=True,
            metavar="POLICY",
            help="remix, commercial, any, or codes such as 'CC BY,CC0'.",
        ),
        click.option("--from", "date_from", metavar="DATE", help="Released in PMC on or after YYYY[-MM[-DD]]."),
        click.option("--until", "date_until", metavar="DATE", help="Released in PMC on or before YYYY[-MM[-DD]]."),
        click.option("--histology", is_flag=True, help="Only articles whose captions speak of H&E histology."),
        click.option("--dry-run", is_flag=True, help="Say what the query would bring, download nothing."),
        click.option(
            "--manifest",
            type=click.Path(dir_okay=False, exists=True, path_type=Path),
            help="Take the articles listed in FILE instead of a query.",
        ),
    ]
    for option in reversed(options):
        f = option(f)
    return f


def _annotate_options(f: F) -> F:
    options = [
        click.option("--workers", type=click.IntRange(min=1), help="Processes that read articles; default: cores - 1."),
        click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True),
        click.option("--engine", type=click.Choice(["local", "ray"]), default="local", show_default=True),
        click.option(
            "--model",
            "models",
            multiple=True,
            metavar="NAME|FILE",
            help="Magnification models, shown first from now on; default: small and hagnifinder-r50.",
        ),
        click.option("--retry-failed", is_flag=True, help="Try articles again that broke their worker before."),
    ]
    for option in reversed(options):
        f = option(f)
    return f


def _shard_option(f: F) -> F:
    return click.option(
        "--shard", metavar="I/N", help="Only part I of N of the articles; `harvester merge` joins the parts."
    )(f)


@main.command()
@click.argument("query", required=False)
@_out_option
@_search_options
@_annotate_options
@_shard_option
def run(query: str | None, out_dir: Path, **options: Any) -> None:
    """Search, download and annotate: from QUERY to a catalog of H&E snapshots with their scale.

    \b
    harvester run 'colorectal adenoma' --histology --out runs/adenoma --limit 20
    """
    sys.exit(_run(query, out_dir, options))


def _run(query: str | None, out_dir: Path, options: dict[str, Any]) -> int:
    _check_engine(options)
    request = _request(query, options)
    if options["dry_run"]:
        return _dry_run(request)
    with open_to_write(out_dir, "run", _plain(query, options)) as (store, catalog):
        code = _crawl(request, store, catalog)
        code = max(code, _annotate(catalog, out_dir, options))
        _print_status(catalog)
        if code:
            raise click.exceptions.Exit(code)
    return DONE


@main.command()
@click.argument("query", required=False)
@_out_option
@_search_options
@click.option("--refresh", is_flag=True, help="Ask the newest search again, and mark what was retracted or removed.")
@click.option("--retry-failed", is_flag=True, help="Only what an earlier run could not get, also for good.")
@_shard_option
@click.pass_context
def crawl(context: click.Context, /, query: str | None, out_dir: Path, **options: Any) -> None:
    """Search and download only.

    \b
    harvester crawl '"renal cell carcinoma"[Title]' --histology --from 2024 --out runs/renal --limit 200
    harvester crawl --refresh --out runs/renal
    """
    from harvester.errors import UsageError

    again = "--refresh" if options["refresh"] else "--retry-failed" if options["retry_failed"] else None
    if again and options["dry_run"]:
        raise UsageError(f"{again} can't be tried with --dry-run.")
    if options["retry_failed"] and (query or options["manifest"] or options["refresh"]):
        raise UsageError("--retry-failed takes what failed, so give neither a query, --manifest nor --refresh.")
    if again and not query and not options["manifest"]:
        query, options = _as_before(context, out_dir, options)
    request = _request(query, options)
    if options["dry_run"]:
        sys.exit(_dry_run(request))
    with open_to_write(out_dir, "crawl", _plain(query, options)) as (store, catalog):
        code = _crawl(request, store, catalog, retry_failed=options["retry_failed"])
        if code:
            raise click.exceptions.Exit(code)


def _as_before(context: click.Context, out_dir: Path, options: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """Return query and options of the newest search of a harvest, but for what this command line says otherwise."""
    from click.core import ParameterSource

    from harvester.catalog import Catalog
    from harvester.errors import UsageError
    from harvester.fetch.store import Store

    require_harvest(out_dir)
    with Store(out_dir).lock(), Catalog.open(out_dir, upgrade=True) as catalog:
        before = catalog.newest_search()
    if before is None:
        raise UsageError(f"No search was made in {out_dir} yet: give a query.")
    names = {"limit", "source", "policy", "date_from", "date_until", "histology", "manifest", "shard"}
    said = {name for name in names if context.get_parameter_source(name) is ParameterSource.COMMANDLINE}
    kept = {name: before[name] for name in names - said if name in before}
    if "manifest" in kept:
        kept["manifest"] = Path(kept["manifest"])
    return before.get("query"), options | kept


@main.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@_out_option
@click.option("--license", "licence", metavar="own|CODE", help="Their licence; default: what their XML states.")
@click.option("--group-by", metavar="REGEX", help="What in a path names the group (a patient, a case) kept together.")
@click.option(
    "--labels",
    "labels_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A CSV file of what you know of pictures: file, case, organ, diagnosis, mpp_um.",
)
def add(
    paths: tuple[Path, ...], out_dir: Path, licence: str | None, group_by: str | None, labels_path: Path | None
) -> None:
    """Take in your own PDFs, article folders, images, and the pictures in Word and PowerPoint files.

    Nothing leaves this machine.

    \b
    harvester add ~/papers ~/snapshots --out runs/mine --license own --group-by 'case(\\d+)'
    """
    from tempfile import TemporaryDirectory

    from harvester.licences import check_code
    from harvester.pipeline.add import add as add_files
    from harvester.pipeline.add import compile_group, find_articles
    from harvester.pipeline.labels import read_labels
    from harvester.progress import say

    code = check_code(licence) if licence else None
    pattern = compile_group(group_by)
    labels, bad = read_labels(labels_path) if labels_path else ({}, [])
    settings = {"paths": [str(path) for path in paths], "license": licence, "group_by": group_by}
    settings |= {"labels": str(labels_path)} if labels_path else {}
    with TemporaryDirectory(prefix="harvester-add-") as unpacked:
        articles, n_ignored = find_articles(paths, Path(unpacked))
        with open_to_write(out_dir, "add", settings) as (store, catalog):
            outcome = add_files(articles, catalog, store, licence_code=code, pattern=pattern, labels=labels)
    for skip in bad:
        say(skip.detail)
    ignored = f", {n_ignored} files of other kinds ignored" if n_ignored else ""
    say(f"{outcome.n_added} added, {outcome.n_known} already there, {len(outcome.skips)} could not be taken{ignored}.")
    say(f"Next: harvester annotate {out_dir}")


@main.command()
@click.argument("harvest", type=click.Path(file_okay=False, path_type=Path))
@_annotate_options
@_shard_option
def annotate(harvest: Path, **options: Any) -> None:
    """Find figures, panels and H&E regions in what was downloaded or added, and estimate their magnification.

    \b
    harvester annotate runs/adenoma --workers 4
    """
    _check_engine(options)
    require_harvest(harvest)
    with open_to_write(harvest, "annotate", _plain(None, options)) as (_, catalog):
        code = _annotate(catalog, harvest, options)
        _print_status(catalog)
        if code:
            raise click.exceptions.Exit(code)


@main.command()
@click.argument("harvest", type=click.Path(file_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="The same as JSON on standard output.")
@click.option("--since", metavar="RUN", help="Also what changed after this run: its id, or a date such as 2026-11-01.")
def status(harvest: Path, as_json: bool, since: str | None) -> None:
    """Show the funnel: found, downloaded, figures, panels, H&E, estimated; and what was skipped, by reason.

    \b
    harvester status runs/adenoma --json
    harvester status runs/adenoma --since 2026-11-01
    """
    from harvester.catalog import Catalog
    from harvester.status import status_json, status_text

    require_harvest(harvest)
    with Catalog.open(harvest) as catalog:
        funnel = catalog.funnel()
        changes = catalog.changes_since(since) if since else None
        click.echo(status_json(funnel, changes) if as_json else status_text(funnel, changes))


def _print_status(catalog: Catalog) -> None:
    from harvester.status import status_text

    click.echo(status_text(catalog.funnel()))


def _plain(query: str | None, options: dict[str, Any]) -> dict[str, Any]:
    settings = {"query": query} if query else {}
    return settings | {k: str(v) if isinstance(v, Path) else v for k, v in options.items() if v not in (None, ())}


def _check_engine(options: dict[str, Any]) -> None:
    if options["engine"] == "ray":
        from harvester.engines.cluster import require_cluster

        require_cluster()


def _annotate(catalog: Catalog, root: Path, options: dict[str, Any]) -> int:
    from harvester.magnification import Estimators
    from harvester.pipeline.annotate import annotate as annotate_harvest
    from harvester.settings import AnnotateSettings, WorkerSettings
    from harvester.shards import parse_shard

    estimators = Estimators.choose(options["models"], options["device"])
    settings = AnnotateSettings(workers=WorkerSettings(workers=options["workers"] or 0))
    annotate_harvest(
        catalog,
        root,
        settings,
        estimators,
        retry_failed=options["retry_failed"],
        shard=parse_shard(options["shard"]),
        models_first=bool(options["models"]),
    )
    return DONE


def _request(query: str | None, options: dict[str, Any]) -> CrawlRequest:
    from harvester.errors import UsageError
    from harvester.pipeline.request import CrawlRequest, parse_date
    from harvester.shards import parse_shard

    text = options["limit"].strip().lower()
    if text != "all" and not text.isdecimal():
        raise UsageError(f"--limit is {options['limit']!r}: give a number from 1 on, or all.")
    if query is not None and not query.strip():
        raise UsageError("The query is empty; say what to look for, for instance 'colorectal adenoma'.")
    return CrawlRequest(
        query=query,
        source=options["source"],
        limit=None if text == "all" else int(text),
        policy=options["policy"],
        date_from=parse_date(options["date_from"]),
        date_until=parse_date(options["date_until"], last=True),
        histology=options["histology"],
        manifest=options["manifest"],
        shard=parse_shard(options["shard"]),
        refresh=options.get("refresh", False),
    )


def _dry_run(request: CrawlRequest) -> int:
    from harvester.fetch.client import Client
    from harvester.pipeline.crawl import plan
    from harvester.progress import say
    from harvester.settings import ServiceSettings

    with Client(ServiceSettings.from_environment()) as client:
        for line in plan(request, client, say=say).lines():
            click.echo(line)
    return DONE


def _crawl(request: CrawlRequest, store: Store, catalog: Catalog, *, retry_failed: bool = False) -> int:
    from harvester.fetch.client import Client
    from harvester.pipeline.crawl import crawl as crawl_articles
    from harvester.pipeline.refresh import failed_articles
    from harvester.progress import Progress, say
    from harvester.settings import ServiceSettings

    search = failed_articles(catalog) if retry_failed else None
    if search is not None:
        if not search.start().n_hits:
            say("Nothing failed that could be tried again.")
            return DONE
        request = replace(request, limit=None)
    with Client(ServiceSettings.from_environment()) as client, Progress("articles fetched") as progress:
        outcome = crawl_articles(request, store, catalog, client, progress, say, search=search)
    if outcome.problem:
        say(outcome.problem)
    say(outcome.line())
    return DONE if outcome.complete else LEFT


@main.command()
@click.argument("harvest", type=click.Path(file_okay=False, path_type=Path))
@click.option("--repair", is_flag=True, help="Remove what is damaged or left over, and get or make it again next time.")
def verify(harvest: Path, repair: bool) -> None:
    """Check every file against its hash and every row against its file.

    \b
    harvester verify runs/adenoma --repair
    """
    from contextlib import nullcontext

    from harvester.catalog import Catalog
    from harvester.fetch.store import Store
    from harvester.progress import Progress
    from harvester.verify import verify as verify_harvest

    require_harvest(harvest)
    with (
        Store(harvest).lock() if repair else nullcontext(),
        Catalog.open(harvest, upgrade=repair) as catalog,
        Progress("files") as progress,
    ):
        report = verify_harvest(catalog, harvest, repair=repair, tick=progress.advance)
    click.echo(report.text())
    # what was removed has to be fetched or made again by the next run
    sys.exit(DONE if report.is_sound else LEFT)


@main.command()
@click.option(
    "--out",
    "out_dir",
    default="demo-harvest",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The harvest's folder; again is continued, not repeated.",
)
def demo(out_dir: Path) -> None:
    """Run the whole way on drawn articles, served on this machine: no network, nothing but this folder is touched.

    \b
    harvester demo --out demo-harvest
    """
    from contextlib import ExitStack

    from harvester.catalog import Catalog
    from harvester.demo.run import run_demo
    from harvester.progress import Progress, say

    def harvest(query: str, out: Path) -> int:
        options = run.make_context("run", [query, "--out", str(out), "--limit", "all"]).params
        return _run(options.pop("query"), options.pop("out_dir"), options)

    def read_rows(root: Path, query: str) -> Any:
        with Catalog.open(root) as catalog:
            return catalog.rows(query)

    with ExitStack() as stack:
        drawing = stack.enter_context(Progress("articles drawn"))

        def drawn(n_done: int, n_all: int) -> None:
            drawing.total = n_all
            drawing.advance(n_done - drawing.n_done)
            if n_done == n_all:
                stack.close()

        code = run_demo(out_dir, harvest, read_rows, say=say, echo=click.echo, progress=drawn)
    sys.exit(code)


main.add_command(export)
main.add_command(report)
main.add_command(review)
main.add_command(evaluate)
main.add_command(witnesses)
main.add_command(figures)
main.add_command(merge)
main.add_command(gc)

if __name__ == "__main__":
    main()
