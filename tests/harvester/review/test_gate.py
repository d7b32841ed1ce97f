"""Who gets in, what other web sites can do, and what paths and words from outside can do."""

from __future__ import annotations

import hashlib
import http.client
import re
from pathlib import Path
from urllib.parse import quote, urlencode, urlparse

import pytest

from harvester.review.serve import listen
from tests.harvester.review.conftest import HOSTILE, add_figure, five_articles, serving
from tests.harvester.small_harvest import open_blank


class Client:
    """Speaks HTTP as it is told, without a browser's manners."""

    def __init__(self, address: str) -> None:
        parts = urlparse(address)
        self.host, self.token, self.cookie = parts.netloc, parts.query.partition("=")[2], ""

    def ask(self, path: str, method: str = "GET", body: str | None = None, **headers: str | None):
        connection = http.client.HTTPConnection(self.host, timeout=20)
        own = {"Host": self.host, "Cookie": self.cookie, "Origin": f"http://{self.host}" if method == "POST" else None}
        connection.putrequest(method, path, skip_host=True)
        for name, value in (own | {k.replace("_", "-"): v for k, v in headers.items()}).items():
            if value is not None:
                connection.putheader(name, value)
        data = (body or "").encode()
        if method == "POST":
            connection.putheader("Content-Type", "application/x-www-form-urlencoded")
            connection.putheader("Content-Length", str(len(data)))
        connection.endheaders(data)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, text

    def enter(self) -> Client:
        status, headers, _ = self.ask(f"/?token={self.token}")
        assert (status, headers["location"]) == (303, "/queue")
        self.cookie = headers["set-cookie"].partition(";")[0]
        return self


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory):
    with five_articles(tmp_path_factory.mktemp("gate")) as catalog, serving(catalog) as served:
        yield served


@pytest.fixture(scope="module")
def client(served) -> Client:
    return Client(served.address).enter()


def post(client: Client, **fields: str):
    form = {"id": "PMC1.1/f1/a/s1", "verdict": "accept"} | fields
    headers = {k: form.pop(k) for k in ("Origin", "Host", "Cookie", "Sec_Fetch_Site") if k in form}
    return client.ask("/review", "POST", urlencode(form), **headers)


class TestWhoGetsIn:
    def test_the_printed_address_gives_a_cookie_that_scripts_and_other_sites_cannot_use(self, served):
        _, headers, _ = Client(served.address).ask(f"/?token={Client(served.address).token}")

        assert {"HttpOnly", "SameSite=Strict"} <= {part.strip() for part in headers["set-cookie"].split(";")}
        assert Client(served.address).token not in headers["set-cookie"]

    @pytest.mark.parametrize(
        "path", ["/", "/queue", "/grid", "/figure?id=PMC1.1/f1/a/s1", "/static/review.js", "/?token="]
    )
    def test_without_the_token_nothing_is_shown(self, served, path):
        status, _, text = Client(served.address).ask(path)

        assert status == 403
        assert b"the address that 'harvester review' printed" in text

    @pytest.mark.parametrize(
        "cookie", ["harvester_1=x", "harvester_{port}=", "harvester_{port}=é", "harvester_{port}={token}"]
    )
    def test_a_wrong_cookie_is_none(self, served, cookie):
        client = Client(served.address)
        client.cookie = cookie.format(port=client.host.partition(":")[2], token=client.token)

        assert client.ask("/queue")[0] == 403

    @pytest.mark.parametrize(
        "host", ["evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1.evil.example:{port}", "", None]
    )
    def test_a_name_that_was_turned_to_this_machine_is_refused(self, client, host):
        port = client.host.partition(":")[2]

        assert client.ask("/queue", Host=host and host.format(port=port))[0] in (400, 421)

    def test_localhost_is_this_machine(self, client):
        assert client.ask("/queue", Host=client.host.replace("127.0.0.1", "localhost"))[0] == 200

    def test_only_loopback_listens(self):
        with listen(0) as door:
            assert door.getsockname()[0] == "127.0.0.1"


class TestOtherSites:
    @pytest.mark.parametrize(
        "headers",
        [
            {"Origin": None},
            {"Origin": "null"},
            {"Origin": "http://evil.example"},
            {"Origin": "http://127.0.0.1:1"},
            {"Sec_Fetch_Site": "cross-site"},
            {"Sec_Fetch_Site": "same-site"},
        ],
    )
    def test_they_cannot_write(self, client, served, headers):
        status, _, text = post(client, **headers)

        assert (status, text) == (403, b"Another web site tried to write here; nothing was changed.")
        assert served.catalog.rows("SELECT * FROM review") == []

    @pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
    def test_other_methods_are_refused(self, client, method):
        assert client.ask("/review", method)[0] == 405

    def test_reading_an_address_writes_nothing(self, client, served):
        for path in ("/review?verdict=accept&id=PMC1.1/f1/a/s1", "/undo", "/reviewer?name=x"):
            assert client.ask(path)[0] in (404, 405)

        assert served.catalog.rows("SELECT * FROM review") == []

    def test_every_answer_forbids_foreign_scripts_frames_and_guessing(self, client):
        for path in ("/queue", "/static/review.js", "/nothing", "/picture/x", "/figure?id=x"):
            headers = client.ask(path)[1]
            policy = headers["content-security-policy"]
            assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy and "http" not in policy
            assert headers["x-content-type-options"] == "nosniff"

    def test_no_page_holds_script_style_or_an_address_elsewhere(self, client):
        for path in ("/queue", "/grid", "/progress", "/item?id=PMC4.1/f1/a/s1"):
            text = client.ask(path)[2].decode()
            assert not re.search(r"\son\w+\s*=|\sstyle\s*=|<style|javascript:", text)
            assert re.findall(r"<script[^>]*>", text) == ['<script src="/static/review.js" defer>']
            assert not re.search(r"""(?:src|href|action)=["'](?!/|#)""", text)


class TestPaths:
    @pytest.mark.parametrize(
        "path",
        ["/picture/..%2f..%2fcatalog.db", "/picture/../../catalog.db", "/picture/" + "0" * 64, "/picture/" + "A" * 64,
         "/static/../app.py", "/static/..%2fapp.py", "/static/%2e%2e/app.py", "/thumb/%00",
         "/figure?id=../../etc/passwd"],
    )  # fmt: skip
    def test_no_path_leads_out_of_the_harvest(self, client, path):
        assert client.ask(path)[0] == 404

    def test_a_link_out_of_the_harvest_is_not_followed(self, client, served, tmp_path):
        secret = tmp_path / "secret.png"
        secret.write_bytes(b"secret")
        name = hashlib.sha256(b"secret").hexdigest()
        link = served.catalog.root / "snapshots" / name[:2] / f"{name}.png"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(secret)

        assert client.ask(f"/picture/{name}")[0] == 404

    def test_a_file_name_in_the_catalog_that_leads_out_is_not_believed(self, client, served):
        with served.catalog.writing() as connection:
            connection.exec_driver_sql("UPDATE asset SET name = '../../../outside.pdf'")
        (served.catalog.root.parent / "outside.pdf").write_bytes(b"%PDF-1.7")

        status, _, text = client.ask("/figure?id=PMC1.1/f1/a/s1")

        assert status == 404 and b"file is gone" in text


class TestWords:
    def test_hostile_words_are_shown_as_text_everywhere(self, tmp_path: Path):
        with open_blank(tmp_path) as catalog:
            add_figure(catalog, 1, caption=HOSTILE, title=HOSTILE, journal=HOSTILE, citation=HOSTILE)
            with serving(catalog) as served:
                self.look_everywhere(Client(served.address).enter())

    def look_everywhere(self, client: Client):
        post(client, note=HOSTILE, verdict="correct", magnification_x="20", panel_label="<b>")
        client.ask("/reviewer", "POST", urlencode({"name": HOSTILE}))
        searched = f"/grid?state=all&words={quote(HOSTILE)}"
        for path in ("/item?id=PMC1.1/f1/a/s1", "/grid?state=all", searched, "/progress"):
            text = client.ask(path)[2].decode()
            assert "<script>document" not in text and "<img src=x" not in text and "<b>" not in text
        assert "{{7*7}}" in client.ask("/item?id=PMC1.1/f1/a/s1")[2].decode()

    @pytest.mark.parametrize(
        "words", ['"', '"unbalanced', "a AND", "NEAR(", "caption:x", "*", "^a", "-", "{a}", "x'y", "\\", "µ", "%"]
    )
    def test_no_words_break_the_search(self, client, words):
        assert client.ask(f"/grid?state=all&words={quote(words)}")[0] == 200

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"verdict": "correct"}, "Nothing was corrected"),
            ({"verdict": "correct", "magnification_x": "many"}, "give a number"),
            ({"verdict": "correct", "magnification_x": "nan"}, "cannot be"),
            ({"verdict": "correct", "magnification_x": "1e9"}, "cannot be"),
            ({"verdict": "correct", "magnification_x": "-20"}, "cannot be"),
            ({"verdict": "correct", "kind": "ufo"}, "no such kind"),
            ({"verdict": "correct", "x0_px": "1", "y0_px": "1", "x1_px": "1", "y1_px": "9"}, "The box is empty"),
            ({"verdict": "correct", "x0_px": "1", "y0_px": "1", "x1_px": "401", "y1_px": "9"}, "beyond the panel"),
            ({"verdict": "correct", "x0_px": "inf", "y0_px": "1", "x1_px": "nan", "y1_px": "9"}, "beyond the panel"),
            ({"verdict": "approve"}, "Say accept, reject or correct"),
            ({"note": "x" * 3000}, "The note is too long"),
            ({"note": "x" * 70_000}, "too long"),
            ({"id": "PMC9.1/f1/a/s1"}, "no longer in the harvest"),
        ],
    )
    def test_a_form_that_makes_no_sense_is_refused_with_a_sentence(self, client, served, fields, words):
        status, _, text = post(client, **fields)

        assert status in (404, 422)
        assert words in text.decode()
        assert served.catalog.rows("SELECT * FROM review") == []


def test_the_command_says_when_its_port_is_taken(tmp_path: Path):
    from click.testing import CliRunner

    from harvester.cli import main

    open_blank(tmp_path).close()
    with listen(0) as door:
        result = CliRunner().invoke(main, ["review", str(tmp_path), "--port", str(door.getsockname()[1])])

    assert result.exit_code == 2
    assert "cannot be used" in result.output


def test_the_catalog_is_asked_for(tmp_path: Path):
    from click.testing import CliRunner

    from harvester.cli import main

    result = CliRunner().invoke(main, ["review", str(tmp_path), "--port", "0"])

    assert (result.exit_code, "no catalog" in result.output) == (2, True)
