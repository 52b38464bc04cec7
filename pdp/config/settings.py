"""The settings: every key with its safe default, where it is read, and what no two of them may say together.

One file at most is read: the one `PDP_CONFIG` names, else `./pdp.toml`, else `pdp.toml` in the policy directory (so
that a policy set can say what its enforcement points may assert). A variable `PDP_NAME` wins over the key `name`.
"""

from __future__ import annotations

import inspect
import socket
import textwrap
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_origin, get_type_hints

from pdp.audit.detect.wanted import To, Watching
from pdp.audit.ship.destination import Destination
from pdp.audit.tree.cosign import Asked
from pdp.audit.tree.pruned import Retention
from pdp.config import reading
from pdp.config.alerts import alerts
from pdp.config.detect import detecting
from pdp.config.emergency import Emergency, emergency
from pdp.config.issuers import contradictions, issuers
from pdp.config.limits import Limiting, limiting
from pdp.config.peps import DOORS, Profile, profiles
from pdp.config.peps import contradictions as of_profiles
from pdp.config.reading import Address, ConfigError, hint
from pdp.config.retention import retention
from pdp.config.review import Reviewing, reviewing
from pdp.config.sessions import SessionSettings, sessions, transmitters
from pdp.config.sessions import contradictions as of_sessions
from pdp.config.shipping import shipping
from pdp.config.smart import smart
from pdp.config.trust import trust_domains
from pdp.config.witness import witnesses
from pdp.identity.issuer import Issuer
from pdp.identity.scopes import Smart
from pdp.identity.spiffe import TrustDomains
from pdp.identity.transmitter import Transmitter


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting with its safe default. The comment above each is its paragraph in docs/settings.md."""

    # The directory of the policy set: `*.ward` files, `data/` beside them. It is watched; a change is taken when two
    # scans agree, or at once on HUP, and only when it checks.
    policies: Annotated[Path, reading.path] = Path("policies/hospital")
    # Where decisions are asked for. Any other address than loopback needs a secret for every enforcement point.
    http_listen: Annotated[Address, reading.address] = Address("127.0.0.1", 8181)
    # Where Envoy asks over gRPC; `0.0.0.0` is every address of the machine, of IPv6 too. Any other address than
    # loopback needs a secret or a certificate for every enforcement point of that door. Port 0: no gRPC.
    grpc_listen: Annotated[Address, reading.address] = Address("127.0.0.1", 9191)
    # The certificate (PEM, with its chain) that decisions are served with, HTTP and gRPC, TLS 1.2 at least. Read again
    # when the file changes; needs `tls_key_file`. When it is not set: no TLS.
    tls_certificate_file: Annotated[Path | None, reading.path] = None
    # The private key of `tls_certificate_file` (PEM, not encrypted).
    tls_key_file: Annotated[Path | None, reading.path] = None
    # The authorities (PEM) of the certificates of enforcement points. When it is set, a connection without such a
    # certificate is refused.
    tls_client_ca_file: Annotated[Path | None, reading.path] = None
    # Where metrics and the console are. Any other address than loopback needs `management_secret_file`.
    management_listen: Annotated[Address, reading.address] = Address("127.0.0.1", 8282)
    # The base of every URL that we publish (the AuthZEN metadata). Never taken from a request's `Host`. When it is not
    # set: `http://`, or `https://` with a certificate, and `http_listen`.
    public_url: Annotated[str, reading.url] = ""
    # The private key (PEM, P-256 or Ed25519, not encrypted) that the AuthZEN metadata is signed with. When it is not
    # set, the metadata has no `signed_metadata`.
    metadata_key_file: Annotated[Path | None, reading.path] = None
    # Where each decision is recorded before its answer leaves: a write-ahead log for each worker (mode 0600), and what
    # is sealed. Best a file system of its own.
    audit_dir: Annotated[Path, reading.path] = Path("audit")
    # What a record has to be before its answer leaves. `synced`: on disk. `written`: with the kernel, so that it
    # outlives the service, but not the machine: a power failure loses the records of permits that were given.
    audit_durability: Annotated[Literal["synced", "written"], reading.choice("synced", "written")] = "synced"
    # The name of this log in its records and checkpoints, like `pdp.example/host-1`: not twice in a fleet. When it is
    # not set: the name of the host, and `/pdp`.
    audit_origin: Annotated[str, reading.origin] = ""
    # The size of a segment of the write-ahead log. Each worker has two of them on disk from the start, of zeros.
    audit_segment_megabytes: Annotated[int, reading.number(1, 1_024)] = 64
    # Where the keys are that sign the log, and the promise of the largest tree that was signed. On another volume than
    # the log, a log that somebody set back is known by it. When it is not set: `keys` in `audit_dir`.
    audit_keys_dir: Annotated[Path | None, reading.path] = None
    # How often each worker says in the log that it is there, and what it has counted.
    audit_heartbeat_seconds: Annotated[int, reading.number(5, 3_600)] = 60
    # How long records may wait to be sealed. After that `/ready` is degraded, with an alarm; after five times as long
    # it is 503, since what is not sealed can be cut off without a trace.
    audit_max_unsealed_seconds: Annotated[int, reading.number(5, 86_400)] = 60
    # With less than this free on the file system of `audit_dir`, there is an alarm. 0: never.
    audit_space_warn_percent: Annotated[int, reading.number(0, 99)] = 10
    # With less than this free, `/ready` is degraded.
    audit_space_low_percent: Annotated[int, reading.number(0, 99)] = 5
    # With less than this free, `/ready` is 503, so that nobody is sent here any more before the disk is full. Whoever
    # asks all the same is answered as long as there is space.
    audit_space_stop_percent: Annotated[int, reading.number(0, 99)] = 2
    # How a record holds whom and what it is about. `encrypted`: with a key for each day, which can be erased; beside
    # that only pseudonyms. `clear`: readable for whoever reads the log.
    audit_details: Annotated[Literal["encrypted", "clear"], reading.choice("encrypted", "clear")] = "encrypted"
    # How the subjects of decisions stand in the part of a record that is not encrypted: by their id (`clear`), or under
    # a pseudonym. Patients, and subjects of the types in `audit_patient_subject_types`, are under one in any case.
    audit_subjects: Annotated[Literal["clear", "pseudonym"], reading.choice("clear", "pseudonym")] = "clear"
    # The (wire) types of subjects who are patients or their relatives: a list, in the environment with commas.
    audit_patient_subject_types: Annotated[tuple[str, ...], reading.words] = ()
    # Where the keys of pseudonyms and of encrypted details are (mode 0700), made at the first start. When it is not
    # set: `privacy` in `audit_dir`.
    audit_privacy_dir: Annotated[Path | None, reading.path] = None
    # The file (mode 0600) with the key that all those keys are wrapped with, made at the first start. On another volume
    # than `audit_privacy_dir`, who has a copy of that directory has nothing. When it is not set: `master.key` there.
    audit_master_key_file: Annotated[Path | None, reading.path] = None
    # Where sessions and revocations are kept over a restart (mode 0700).
    state_dir: Annotated[Path, reading.path] = Path("state")
    # The file with the secret of every enforcement point whose profile names no `secret_file` of its own: 16 to 512
    # visible ASCII characters, sent as `x-pdp-secret: SECRET`, or as `Authorization: Bearer SECRET` at the API doors.
    pep_secret_file: Annotated[Path | None, reading.path] = None
    # The file with the secret of the management listener: a Bearer token, or the password of HTTP Basic.
    management_secret_file: Annotated[Path | None, reading.path] = None
    # How many decision worker processes: one for each core that decides.
    workers: Annotated[int, reading.number(1, 256)] = 1
    # How many policy results each worker keeps. 0: none.
    cache_size: Annotated[int, reading.number(0, 10_000_000)] = 65_536
    # The longest request body that is read; a longer one is refused.
    max_body_bytes: Annotated[int, reading.number(1_024, 64 * 1_048_576)] = 1_048_576
    # How deep the JSON of a request may be nested.
    max_depth: Annotated[int, reading.number(4, 32)] = 32
    # How many evaluations one batch may hold.
    max_evaluations: Annotated[int, reading.number(1, 10_000)] = 100
    # How many candidates one page of a search looks at; a page that comes to this end is short, and has a next one.
    max_search_candidates: Annotated[int, reading.number(1, 1_000_000)] = 10_000
    # The longest request line, and the longest header field. Room for real tokens.
    max_header_bytes: Annotated[int, reading.number(1_024, 65_535)] = 16_384
    # For how long a proxy may keep a permit (`Cache-Control: private, max-age`), never past the first instant at which
    # time alone changes it. 0: not at all (`no-store`). Accesses under a kept permit are not audited one by one.
    max_permit_age_seconds: Annotated[int, reading.number(0, 86_400)] = 0
    # How many requests one worker has open at once; the next one is denied with 429.
    max_in_flight: Annotated[int, reading.number(1, 100_000)] = 1_024
    # When a worker's event loop runs this late, requests are denied with 429 until it has caught up.
    shed_after_milliseconds: Annotated[int, reading.number(10, 60_000)] = 1_000
    # The pause between two scans of the policy directory. A change is taken when two of them agree.
    scan_milliseconds: Annotated[int, reading.number(50, 60_000)] = 500
    # How long a change that was written in place has to rest before it is taken, so that a copy that pauses is not
    # taken for whole; five times as long where a forbid or a mask that is active would go. What is swapped in whole
    # (by a symlink) waits only while its files are younger than this. HUP takes what is there at once.
    settle_milliseconds: Annotated[int, reading.number(0, 600_000)] = 2_000
    # DANGEROUS, for demonstrations: the header that names the subject of a proxied request, believed without proof. Off
    # by default, refused unless `http_listen` is loopback. Whoever can set the header is whoever it says.
    trust_unverified_subject_header: Annotated[str, reading.header] = ""
    # The (wire) type of the subject that `trust_unverified_subject_header` names.
    unverified_subject_type: Annotated[str, reading.text] = "user"

    profiles: tuple[Profile, ...] = (Profile("default"),)
    emergency: Emergency = field(default_factory=Emergency)
    limits: Limiting = field(default_factory=Limiting)
    issuers: tuple[Issuer, ...] = ()
    trust_domains: TrustDomains = field(default_factory=dict)
    smart: Smart = field(default_factory=Smart)
    sessions: SessionSettings = field(default_factory=SessionSettings)
    transmitters: tuple[Transmitter, ...] = ()
    witnesses: tuple[Asked, ...] = ()
    retention: Retention = field(default_factory=Retention)
    shipping: tuple[Destination, ...] = ()
    detect: Watching | None = None
    alerts: tuple[To, ...] = ()
    review: Reviewing = field(default_factory=Reviewing)
    management_secret: bytes | None = field(default=None, repr=False)
    source: str = "defaults"  # which file was read
    given: frozenset[str] = frozenset()  # which of the settings above were not left at their default
    secret_files: tuple[Path, ...] = ()  # every one that was read, whoever's it is


READERS: Final[dict[str, Callable[[Any, Path], Any]]] = {
    name: hint.__metadata__[0]
    for name, hint in get_type_hints(Settings, include_extras=True).items()
    if get_origin(hint) is Annotated
}
"""How each setting is read; raises ValueError with what the value must be."""

SECTIONS: Final[dict[str, tuple[str, Callable[[Any, Path, list[str]], Any]]]] = {
    "issuers": ("issuer", issuers),
    "emergency": ("emergency", emergency),
    "limits": ("limits", limiting),
    "trust_domains": ("trust_domain", trust_domains),
    "smart": ("smart", smart),
    "sessions": ("sessions", sessions),
    "transmitters": ("transmitter", transmitters),
    "witnesses": ("witness", witnesses),
    "retention": ("retention", retention),
    "shipping": ("ship", shipping),
    "detect": ("detect", detecting),
    "alerts": ("alert", alerts),
    "review": ("review", reviewing),
}
"""Which field of the settings each section of the file fills, and what reads it, given the file and the problems."""


def load(environment: Mapping[str, str], directory: Path) -> Settings:
    """Read the settings. `directory` is where relative paths of variables start. Raises ConfigError."""
    problems: list[str] = []
    path = _file(environment, directory)
    table = _table(path, problems) if path else {}
    problems += _unknown(environment, path, table)
    values = _values(environment, directory, path, table, problems)
    if path and path.parent == values.get("policies") and "policies" in table:
        problems.append(f"{path}: `policies` is the directory that this file is in; leave the key out")
    shared = _secret(values, "pep_secret_file", problems)
    values["profiles"] = profiles(table.get("pep"), path, shared, problems)
    values["management_secret"] = _secret(values, "management_secret_file", problems)
    for name, (section, read) in SECTIONS.items():
        if path and section in table:
            values[name] = read(table[section], path, problems)
    named = (values.get(each) for each in ("pep_secret_file", "management_secret_file", "metadata_key_file"))
    within = _secret_files({name: each for name, each in table.items() if name not in READERS}, path)
    values["secret_files"] = tuple(sorted({*filter(None, named), *within}))
    if not problems:
        settings = Settings(**values)
        problems = _contradictions(settings)
        if not problems:
            return settings
    raise ConfigError(problems)


def _values(
    environment: Mapping[str, str], directory: Path, path: Path | None, table: dict[str, Any], problems: list[str]
) -> dict[str, Any]:
    values: dict[str, Any] = {"source": str(path) if path else "defaults"}
    defaults: dict[str, Any] = {each.name: each.default for each in fields(Settings)}
    given: set[str] = set()
    for name, read in READERS.items():
        variable = f"PDP_{name.upper()}"
        try:
            if environment.get(variable) == "" and name.endswith("_file"):
                raise ValueError("is empty: a file that is not named is none")
            if environment.get(variable):
                given.add(name)
                values[name] = read(environment[variable], directory)
            elif path and name in table:
                given.add(name)
                variable = f"{path}: `{name}`"
                values[name] = read(table[name], path.parent)
            elif isinstance(defaults[name], Path):
                values[name] = Path(directory, defaults[name])
        except ValueError as error:
            problems.append(f"{variable}: {error}")
    if not values.get("public_url"):
        scheme = "https" if values.get("tls_certificate_file") else "http"
        values["public_url"] = f"{scheme}://{values.get('http_listen', defaults['http_listen'])}"
    if not values.get("audit_origin"):
        values["audit_origin"] = f"{reading.NO_ORIGIN.sub('-', socket.gethostname())[:200]}/pdp"
    return values | {"given": frozenset(given)}


def _unknown(environment: Mapping[str, str], path: Path | None, table: dict[str, Any]) -> list[str]:
    known = {*READERS, "pep", *(section for section, _ in SECTIONS.values())}
    keys = [f"{path}: unknown key `{key}`{hint(key, known)}" for key in table if key not in known]
    ours = (
        each
        for each in environment
        if each.startswith("PDP_") and each != "PDP_CONFIG" and not each.startswith("PDP_TEST_")
    )
    return keys + [
        f"{each}: unknown setting{hint(each[4:].lower(), READERS, 'PDP_')}"
        for each in ours
        if each[4:].lower() not in READERS
    ]


def _file(environment: Mapping[str, str], directory: Path) -> Path | None:
    if environment.get("PDP_CONFIG"):
        return Path(directory, environment["PDP_CONFIG"])
    policies = environment.get("PDP_POLICIES") or "policies/hospital"
    candidates = (Path(directory, "pdp.toml"), Path(directory, policies, "pdp.toml"))
    return next((each for each in candidates if each.is_file()), None)


def _table(path: Path, problems: list[str]) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        problems.append(f"{path}: cannot be read: {error.strerror}")
    except ValueError as error:
        problems.append(f"{path}: not TOML: {error}")
    return {}


def _secret(values: Mapping[str, Any], name: str, problems: list[str]) -> bytes | None:
    if not values.get(name):
        return None
    try:
        return reading.secret(values[name])
    except ValueError as error:
        problems.append(f"{name}: {error}")
        return None


def _secret_files(given: Any, file: Path | None) -> Iterator[Path]:
    """What the tables of the file name as a secret, or as a private key, at any depth."""
    for key, value in given.items() if isinstance(given, dict) else ():
        if key.endswith(("secret_file", "key_file")) and isinstance(value, str) and file is not None:
            yield Path(file.parent, value)
        yield from _secret_files(value, file)


def _contradictions(settings: Settings) -> list[str]:
    """What each setting alone may say, and all together may not: each of them would leave a door open."""
    listen, found = settings.http_listen, []
    for name, where, doors in (
        ("http_listen", listen, DOORS - {"grpc"}),
        ("grpc_listen", settings.grpc_listen, frozenset({"grpc"})),
    ):
        bare = [each.name for each in settings.profiles if each.open and each.doors & doors]
        if bare and not where.loopback and (where.port or name == "http_listen"):
            found.append(
                f"{name}: {where} is not loopback, and there is no secret for {', '.join(bare)};"
                " set pep_secret_file (PDP_PEP_SECRET_FILE), or listen on 127.0.0.1"
            )
    found += contradictions(settings.issuers, settings.profiles, settings.trust_domains)
    found += of_profiles(settings.profiles)
    found += of_sessions(settings.sessions, settings.transmitters, settings.issuers)
    ladder = (settings.audit_space_warn_percent, settings.audit_space_low_percent, settings.audit_space_stop_percent)
    if list(ladder) != sorted(ladder, reverse=True):
        found.append("audit_space_warn_percent, audit_space_low_percent and audit_space_stop_percent must not grow")
    if settings.alerts and settings.detect is None:
        found.append(f"[alert.{settings.alerts[0].name}]: nothing is detected: there is no [detect]")
    second = settings.emergency.audit_dir
    if second is not None and second.resolve() == settings.audit_dir.resolve():
        found.append("[emergency] audit_dir is the same directory as audit_dir: it must be on another disk")
    if (settings.tls_certificate_file is None) != (settings.tls_key_file is None):
        found.append("tls_certificate_file and tls_key_file need each other")
    if settings.tls_client_ca_file is not None and settings.tls_certificate_file is None:
        found.append("tls_client_ca_file needs tls_certificate_file")
    certified = [each.name for each in settings.profiles if each.certificates]
    if certified and settings.tls_client_ca_file is None:
        found.append(f"[pep.{certified[0]}] is known by its certificate, which needs tls_client_ca_file")
    for where in (listen, settings.grpc_listen):
        if settings.trust_unverified_subject_header and not where.loopback and (where.port or where is listen):
            found.append(f"trust_unverified_subject_header: refused, since {where} is not loopback")
    if settings.management_secret is None and not settings.management_listen.loopback:
        where = settings.management_listen
        found.append(f"management_listen: {where} is not loopback, and there is no management_secret_file")
    secrets = [(each.name, each.secret) for each in settings.profiles]
    secrets += [(each.name, each.secret) for each in settings.transmitters]
    found += [
        f"management_secret_file holds the secret of {name}, who could do all that an operator can"
        for name, secret in secrets
        if secret is not None and secret == settings.management_secret
    ]
    listeners = {name: getattr(settings, name) for name in ("http_listen", "grpc_listen", "management_listen")}
    for name, where in listeners.items():
        same = next(other for other, address in listeners.items() if address == where)
        if same != name and where.port:
            found.append(f"{same} and {name} are the same address")
    for door in sorted(DOORS):
        here = [each for each in settings.profiles if door in each.doors]
        found += [
            f"[pep.{one.name}] and [pep.{other.name}] have the same secret, or none, at {door}; {_shared(one, other)}"
            for one, other in combinations(here, 2)
            if one.clashes(other)
        ]
    return found


def _shared(one: Profile, other: Profile) -> str:
    """Why their certificates do not tell them apart."""
    if not one.certificates and not other.certificates:
        return "neither names a certificate"
    both = sorted(one.certificate_names & other.certificate_names)
    return f"both name the certificate {both[0]}" if both else "only one names a certificate, which fits both"


def reference() -> str:
    """The keys as a page: docs/settings.md holds exactly this between its marks, which a test asserts."""
    paragraphs, comment = [], ""
    defaults = {each.name: each.default for each in fields(Settings)}
    for line in inspect.getsource(Settings).splitlines():
        text = line.strip()
        name = text.partition(":")[0]
        if text.startswith("# "):
            comment += text[1:]
        elif name in READERS and comment:
            default = f" Default: `{defaults[name]}`." if defaults[name] not in (None, "", ()) else ""
            body = textwrap.fill(f"`PDP_{name.upper()}`.{default}{comment}", 120, break_long_words=False)
            paragraphs.append(f"### `{name}`\n\n{body}\n")
            comment = ""
    return "\n".join(paragraphs)
