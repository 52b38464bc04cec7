"""`[ship.NAME]`: what it says, and every mistake by which records would go where they should not."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from pdp.audit.ship.destination import S3, Destination, Folder, Kafka, Nats, Otlp, Syslog, Trust, local
from pdp.config import ConfigError, load
from pdp.config.shipping import PLAIN as shipping_plain
from pdp.config.shipping import shipping

SECRET = "a-secret-of-twenty-five-ch"


def read(directory: Path, text: str) -> tuple[Destination, ...]:
    (directory / "secret").write_text(SECRET)
    (directory / "pdp.toml").write_text(text)
    return load({}, directory).shipping


def one(directory: Path, text: str) -> Destination:
    (found,) = read(directory, f"[ship.there]\n{text}")
    return found


def problems(directory: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(directory, f"[ship.there]\n{text}")
    assert SECRET not in str(caught.value)
    return str(caught.value)


BUCKET = 'kind = "s3"\nbucket = "b"\nretain_years = 6\n'


def test_nothing_is_shipped_where_nothing_is_said(tmp_path: Path) -> None:
    assert load({}, tmp_path).shipping == ()


def test_each_kind_is_read(tmp_path: Path) -> None:
    more = 'prefix = "/host-1/"\nendpoint = "https://s3.example"\naccess_key = "id"\nsecret_key_file = "secret"\n'
    assert one(tmp_path, BUCKET + more + "partial_minutes = 15\n") == Destination(
        "there",
        S3("b", "host-1/", "https://s3.example", "us-east-1", "id", SECRET.encode(), "COMPLIANCE", 6 * 366),
        partial_minutes=15,
    )
    tls = 'ca_file = "ca.pem"\ncertificate_file = "c.pem"\nkey_file = "k.pem"\n'
    trust = Trust(tmp_path / "ca.pem", tmp_path / "c.pem", tmp_path / "k.pem")
    assert one(tmp_path, 'kind = "nats"\nservers = ["tls://a:4222", "tls://b:4222"]\n' + tls).where == Nats(
        ("tls://a:4222", "tls://b:4222"), trust=trust
    )
    assert one(tmp_path, 'kind = "syslog"\nurl = "tls://a:6514"\nfacility = 4\nformat = "ecs"\n') == Destination(
        "there", Syslog("tls://a:6514", 4), "ecs"
    )
    assert one(tmp_path, 'kind = "otlp"\nurl = "https://a/v1/logs"\nheader_secret_file = "secret"\n').where == Otlp(
        "https://a/v1/logs", secret=SECRET.encode()
    )
    kafka = 'kind = "kafka"\nbrokers = "a:9093"\nuser = "u"\npassword_secret_file = "secret"\n'
    assert one(tmp_path, kafka).where == Kafka(("a:9093",), user="u", secret=SECRET.encode())
    assert one(tmp_path, 'kind = "file"\ndirectory = "out"\n').where == Folder(tmp_path / "out")


def test_a_secret_is_not_shown(tmp_path: Path) -> None:
    found = one(tmp_path, BUCKET + 'access_key = "id"\nsecret_key_file = "secret"\n')
    assert SECRET not in repr(found)
    assert SECRET not in found.where.place
    (tmp_path / "pdp.toml").write_text(f'[ship.there]\n{BUCKET}access_key = "id"\nsecret_key_file = "secret"\n')
    assert load({}, tmp_path).secret_files == (tmp_path / "secret",)  # Whether others may read it is looked at.


@pytest.mark.parametrize(
    "text",
    [
        BUCKET + 'endpoint = "http://s3.example"\n',
        'kind = "nats"\nservers = "nats://broker.example:4222"\n',
        'kind = "nats"\nservers = ["tls://a:4222", "nats://127.0.0.1.example:4222"]\n',
        'kind = "syslog"\nurl = "tcp://10.0.0.1:514"\n',
        'kind = "otlp"\nurl = "http://10.0.0.1:4318/v1/logs"\n',
        'kind = "kafka"\nbrokers = ["10.0.0.1:9092"]\ntls = false\n',
    ],
)
def test_records_do_not_travel_in_clear_unless_somebody_says_so(tmp_path: Path, text: str) -> None:
    assert "would travel in clear" in problems(tmp_path, text)
    assert one(tmp_path, text + "trust_plain_text_network = true\n").trust_plain_text_network


@pytest.mark.parametrize(
    "text",
    [
        BUCKET + 'endpoint = "http://127.0.0.1:9000"\n',
        'kind = "nats"\nservers = "nats://[::1]:4222"\n',
        'kind = "syslog"\nurl = "tcp://localhost:514"\n',
        'kind = "syslog"\nurl = "unix:///dev/log"\n',
        'kind = "kafka"\nbrokers = ["127.0.0.1:9092"]\ntls = false\n',
    ],
)
def test_on_this_machine_they_may(tmp_path: Path, text: str) -> None:
    assert one(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "`kind` must be one of s3, nats"),
        ('kind = "s4"\n', "`kind` must be one of s3, nats"),
        ('kind = "s3"\nretain_years = 6\n', "`bucket` must be set"),
        ('kind = "s3"\nbucket = "b"\n', "`retain_years` (or `retain_days`) must say for how long"),
        (BUCKET + "retain_days = 9\n", "one of them is enough"),
        (BUCKET + 'object_lock = "none"\n', "nothing is retained"),
        (BUCKET + 'access_key = "id"\n', "need each other"),
        (BUCKET + 'secret_key_file = "nowhere"\n', "cannot be read"),
        (BUCKET + f'secret_key = "{SECRET}"\n', "unknown key `secret_key`"),
        (BUCKET + 'endpoint = "https://user@s3.example"\n', "`endpoint`"),
        (BUCKET + 'format = "ecs"\n', "unknown key `format`"),
        ('kind = "nats"\n', "`servers` must list"),
        (f'kind = "nats"\nservers = "tls://u:{SECRET}@a:4222"\n', "without a user or a secret in it"),
        ('kind = "nats"\nservers = "a:4222"\n', "`servers` must be tls://HOST[:PORT]"),
        ('kind = "nats"\nservers = "tls://a"\nuser = "u"\n', "`user` and `password_secret_file` need each other"),
        ('kind = "nats"\nservers = "tls://a"\npassword = "x"\n', "unknown key `password`"),
        ('kind = "syslog"\nurl = "udp://a:514"\n', "`url` must be tls://HOST[:PORT] or tcp://HOST[:PORT] or unix"),
        ('kind = "syslog"\nurl = "tls://a:999999"\n', "`url` must be"),
        ('kind = "syslog"\nurl = "tls://a"\nkey_file = "k"\n', "`certificate_file` and `key_file` need each other"),
        ('kind = "otlp"\n', "`url` must be set"),
        ('kind = "otlp"\nurl = "https://a"\nheader = "a:b"\n', "`header` must be"),
        ('kind = "otlp"\nurl = "https://a"\nformat = "xml"\n', "`format` must be one of raw, ocsf, ecs"),
        ('kind = "kafka"\nbrokers = "https://a:1"\n', "`brokers` must list HOST:PORT"),
        ('kind = "kafka"\nbrokers = "a"\n', "`brokers` must list HOST:PORT"),
        ('kind = "file"\n', "`directory` must be set"),
        ('kind = "file"\ndirectory = "x"\ntrust_plain_text_network = true\n', "means nothing"),
        ('kind = "file"\ndirectory = "x"\nretain_years = 1\n', "unknown key `retain_years`"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, problem: str) -> None:
    assert problem in problems(tmp_path, text)


@pytest.mark.parametrize("name", ['"a/b"', '"../x"', '"a b"', '"ä"', '"' + "x" * 65 + '"'])
def test_a_name_is_that_of_a_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="its name is that of a file"):
        read(tmp_path, f'[ship.{name}]\nkind = "file"\ndirectory = "x"\n')


@pytest.mark.parametrize(
    ("url", "stays"),
    [
        ("http://localhost:1", True),
        ("nats://[::1]:4222", True),
        ("127.0.0.1:9092", True),
        ("http://localhost.example", False),
        ("http://0x7f000001", False),
        ("http://10.0.0.1", False),
        ("", False),
    ],
)
def test_what_stays_on_this_machine(url: str, stays: bool) -> None:
    assert local(url) is stays


def test_the_place_names_what_a_cursor_is_of(tmp_path: Path) -> None:
    made = S3("b", "p/", "https://a")
    places = {
        each.place for each in (made, replace(made, bucket="c"), replace(made, prefix="q/"), replace(made, endpoint=""))
    }
    assert len(places) == 4


PAGE = (Path(__file__).parents[3] / "docs/settings.md").read_text().partition("## Shipping: `[ship.NAME]`")[2]


def test_the_example_of_the_settings_page_is_good(tmp_path: Path) -> None:
    (tmp_path / "pdp.toml").write_text(PAGE.partition("```toml\n")[2].partition("```")[0])
    assert [each.name for each in load({}, tmp_path).shipping] == ["siem", "worm"]


def test_the_settings_page_tells_of_every_key() -> None:
    source = Path(shipping.__code__.co_filename).read_text()
    keys = set(re.findall(r'(?:table\.\w+|_needed)\((?:table, )?"([a-z_]+)"', source)) | {shipping_plain}
    assert len(keys) > 25
    assert [key for key in sorted(keys) if f"`{key}`" not in PAGE] == []
