"""All settings: one frozen object a stage, every default in this file, read once at the edge.

Later wins: defaults, environment, command line. Secrets come from the environment only and never reach a repr, a row or
a log line.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from harvester.errors import UsageError

EUTILS_URL = "https://eutils.ncbi.nlm.nih.gov/entrez/eutils"
PMC_BUCKET_URL = "https://pmc-oa-opendata.s3.amazonaws.com"
EUROPEPMC_URL = "https://www.ebi.ac.uk/europepmc/webservices/rest"

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


def check_service_url(name: str, url: str) -> str:
    """Return the base address without a trailing slash.

    Raises:
        UsageError: when it is not https, or plain http to anything but loopback, or carries a user name or query.
    """
    parts = urlsplit(url)
    plain_ok = parts.scheme == "http" and parts.hostname in LOOPBACK_HOSTS
    if not parts.hostname or not (parts.scheme == "https" or plain_ok):
        raise UsageError(f"{name} must be an https address (http only for 127.0.0.1), not {url!r}.")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise UsageError(f"{name} must be a plain base address without user, query or fragment.")
    return url.rstrip("/")


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """Where the services are and who we are to them."""

    eutils_url: str = EUTILS_URL
    bucket_url: str = PMC_BUCKET_URL
    europepmc_url: str = EUROPEPMC_URL
    email: str | None = None
    api_key: str | None = field(default=None, repr=False)
    tool: str = "histology-harvester"

    connect_timeout_s: float = 10.0
    read_timeout_s: float = 60.0
    max_tries: int = 6
    """Attempts at one request before it is given up for this run."""
    max_wait_s: float = 60.0
    """The longest pause made for a Retry-After or between attempts; a longer wish ends the request."""
    max_transfers: int = 8
    """Parallel transfers from the bucket, all threads of this run together."""
    max_file_bytes: int = 500_000_000

    def __post_init__(self) -> None:
        if not 1 <= self.max_transfers <= 8:
            raise UsageError(f"max_transfers is {self.max_transfers}: the bucket is asked for 1 to 8 files at a time.")

    @property
    def eutils_per_second(self) -> int:
        """Requests allowed in any one-second window: 10 with a key, 3 without (NCBI E-utilities usage policy)."""
        return 10 if self.api_key else 3

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> ServiceSettings:
        """Read the services from the environment variables of the contract.

        Raises:
            UsageError: when an address or the e-mail is malformed.
        """
        env = os.environ if environ is None else environ
        email = (env.get("HARVESTER_EMAIL") or "").strip() or None
        if email and ("@" not in email or any(c.isspace() for c in email)):
            raise UsageError(f"HARVESTER_EMAIL is {email!r}, which is no e-mail address.")
        return cls(
            eutils_url=check_service_url("HARVESTER_EUTILS_URL", env.get("HARVESTER_EUTILS_URL") or EUTILS_URL),
            bucket_url=check_service_url(
                "HARVESTER_PMC_BUCKET_URL", env.get("HARVESTER_PMC_BUCKET_URL") or PMC_BUCKET_URL
            ),
            europepmc_url=check_service_url(
                "HARVESTER_EUROPEPMC_URL", env.get("HARVESTER_EUROPEPMC_URL") or EUROPEPMC_URL
            ),
            email=email,
            api_key=(env.get("NCBI_API_KEY") or "").strip() or None,
        )


@dataclass(frozen=True, slots=True)
class DocumentSettings:
    """What is read from a PDF."""

    max_pages: int = 2000
    """A longer PDF is a book or a proceedings volume: skipped with a reason."""
    min_figure_pt: float = 40.0
    """A picture with a shorter side on the page is an icon or a logo, in points."""
    max_raster_px: int = 200_000_000
    """Pixels of one picture before it is refused as a decompression bomb."""
    max_render_px: int = 40_000_000
    """Pixels of one render; the scale is lowered to stay below."""


@dataclass(frozen=True, slots=True)
class PanelSettings:
    """How figures are cut."""

    min_panel_px: int = 48
    """The shorter side of a panel, in figure pixels."""


@dataclass(frozen=True, slots=True)
class StainSettings:
    """When a panel counts as H&E."""

    min_score: float = 0.5
    """Panels with a lower probability of H&E give no snapshot, 0 to 1."""
    min_side_px: int = 96
    """Shorter side of a snapshot in native pixels; smaller ones hold too little tissue to judge."""
    min_tissue_share: float = 0.15

    def __post_init__(self) -> None:
        if not 0.0 <= self.min_score <= 1.0:
            raise UsageError(f"min_score is {self.min_score}: it must lie between 0 and 1.")


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """Limits of the pool that reads articles."""

    workers: int = 0
    """Worker processes; 0 means one fewer than the cores, at least one."""
    article_seconds: float = 180.0
    """Wall time for one article before its worker is stopped."""
    article_bytes: int = 3_000_000_000
    """Memory a worker may add for one article before it is refused more."""


@dataclass(frozen=True, slots=True)
class AnnotateSettings:
    """Everything the annotate step depends on."""

    documents: DocumentSettings = DocumentSettings()
    panels: PanelSettings = PanelSettings()
    stain: StainSettings = StainSettings()
    workers: WorkerSettings = WorkerSettings()
