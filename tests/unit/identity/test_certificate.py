"""A client's certificate: how proxies spell it, what it has to say, and whom it names."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import example, given
from hypothesis import strategies as st

from pdp.identity import certificate, chain
from pdp.identity.caller import Unknown
from pdp.identity.certificate import MAX_BYTES, leaf, peer
from pdp.identity.spiffe import TrustDomain

SECOND = 1_000_000
BEGIN = datetime(2030, 1, 1, tzinfo=UTC)
END = BEGIN + timedelta(days=30)
NOW = int((BEGIN + timedelta(days=1)).timestamp()) * SECOND
WORKLOAD = "spiffe://hospital.example/ns/prod/sa/lab"
PATTERNS = (("ns", "*", "sa", "*"),)
DOMAINS = {"hospital.example": TrustDomain("hospital.example", "service", PATTERNS)}
KEY = ec.generate_private_key(ec.SECP256R1())
USAGES = [
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
]


def name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def usage(*usages: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{each: each in usages for each in USAGES})


class Signer:
    """Signs authorities and leaves; its own certificate is `certificate`."""

    def __init__(self, common: str = "root", above: Signer | None = None, length: int | None = None) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = name(common)
        signs = above or self
        self.certificate = signs.sign(
            self.key.public_key(),
            self.name,
            (x509.BasicConstraints(ca=True, path_length=length), True),
            (usage("key_cert_sign", "crl_sign"), True),
            (x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), False),
        )

    def sign(
        self,
        key: ec.EllipticCurvePublicKey,
        subject: x509.Name,
        *extensions: tuple[x509.ExtensionType, bool],
        begin: datetime = BEGIN,
        end: datetime = END,
    ) -> x509.Certificate:
        builder = x509.CertificateBuilder(self.name, subject, key, x509.random_serial_number(), begin, end)
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        key_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        return builder.add_extension(key_id, False).sign(self.key, hashes.SHA256())

    def leaf(self, *more: x509.ExtensionType, uris: tuple[str, ...] = (WORKLOAD,), **said: Any) -> bytes:
        """DER of a leaf with these names."""
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(each) for each in uris]
        names += [x509.DNSName(each) for each in said.pop("dns", ())]
        names += said.pop("names", ())
        extensions = [(each, False) for each in more]
        if names:
            extensions.append((x509.SubjectAlternativeName(names), False))
        made = self.sign(KEY.public_key(), name(said.pop("cn", "lab")), *extensions, **said)
        return made.public_bytes(Encoding.DER)


ROOT = Signer()
LEAF = ROOT.leaf()


def pem(der: bytes) -> str:
    return x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM).decode()


def envoy(der: bytes) -> bytes:
    """As Envoy writes it: these five characters and no others."""
    text = pem(der)
    for each in "\n +/=":
        text = text.replace(each, quote(each, safe=""))
    return text.encode()


def element(der: bytes, **changed: str) -> bytes:
    digest = x509.load_der_x509_certificate(der).fingerprint(hashes.SHA256()).hex()
    pairs = {"By": "spiffe://p/x", "Hash": digest, "Cert": f'"{envoy(der).decode()}"', "URI": WORKLOAD} | changed
    return ";".join(f"{key}={value}" for key, value in pairs.items()).encode()


def refusal(kind: str, value: bytes) -> str:
    with pytest.raises(Unknown) as unknown:
        leaf(kind, value)
    return unknown.value.kind


def whose(der: bytes, domains: dict[str, TrustDomain] | None = None, now: int = NOW) -> str:
    """Whom it names; in parentheses, why it is refused."""
    domains = DOMAINS if domains is None else domains
    try:
        return certificate.caller(peer(der, domains, now), domains).subject_id
    except Unknown as unknown:
        return f"({unknown.kind})"


# ------------------------------------------------------------------------------------------- from a header to the leaf


def test_a_certificate_in_each_spelling() -> None:
    assert leaf("peer", envoy(LEAF)) == LEAF
    assert leaf("peer", quote(pem(LEAF), safe="").encode()) == LEAF  # As nginx escapes it.
    assert leaf("header", quote(pem(LEAF), safe="").encode()) == LEAF
    assert leaf("header", quote(pem(LEAF).replace("\n", "\r\n"), safe="").encode()) == LEAF
    # As HAProxy puts it together.
    base = quote(base64.b64encode(LEAF), safe="")
    haproxy = f"-----BEGIN CERTIFICATE-----%0A{base}%0A-----END CERTIFICATE-----"
    assert leaf("header", haproxy.encode()) == LEAF
    assert leaf("xfcc", element(LEAF)) == LEAF
    assert leaf("xfcc", element(LEAF, Hash=element(LEAF).decode().split("Hash=")[1][:64].upper())) == LEAF


def test_bare_base64_is_a_certificate_in_its_header_alone() -> None:
    assert leaf("header", base64.b64encode(LEAF)) == LEAF
    assert leaf("header", quote(base64.b64encode(LEAF), safe="").encode()) == LEAF
    assert refusal("peer", base64.b64encode(LEAF)) == "malformed-certificate"


def test_where_none_was_shown_there_is_none() -> None:
    assert leaf("none", envoy(LEAF)) is None
    assert leaf("peer", None) is None
    assert leaf("peer", b"") is None
    assert leaf("header", b"") is None
    assert leaf("xfcc", None) is None


def test_checklist_18_an_empty_or_unknown_spelling_is_not_no_certificate() -> None:
    assert refusal("xfcc", b"") == "malformed-xfcc"
    assert refusal("other", envoy(LEAF)) == "unknown-certificate-kind"


GARBLED = {
    "two certificates": envoy(LEAF) + envoy(LEAF),
    "two header lines": envoy(LEAF) + b"," + envoy(LEAF),
    "junk before": b"x" + envoy(LEAF),
    "junk behind": envoy(LEAF) + b"x",
    "a blank behind": envoy(LEAF) + b"%20",
    "a line before": b"%0A" + envoy(LEAF),
    "a subject before": b"subject=x%0A" + envoy(LEAF),
    "cut short": envoy(LEAF)[:-30],
    "cut within": envoy(LEAF).replace(b"%0A", b"", 3)[:300] + b"%0A-----END%20CERTIFICATE-----",
    "not encoded": pem(LEAF).encode(),
    "half encoded": envoy(LEAF).replace(b"%0A", b"%0", 1),
    "encoded twice": quote(quote(pem(LEAF), safe=""), safe="").encode(),
    "a plus for a blank": quote(pem(LEAF), safe="").replace("%20", "+").encode(),
    "a NUL": envoy(LEAF) + b"%00",
    "another label": envoy(LEAF).replace(b"CERTIFICATE", b"X509%20CRL"),
    "a trusted one": envoy(LEAF).replace(b"CERTIFICATE", b"TRUSTED%20CERTIFICATE"),
    "no certificate": b"-----BEGIN%20CERTIFICATE-----%0AMAA%3D%0A-----END%20CERTIFICATE-----",
    "no base64": b"-----BEGIN%20CERTIFICATE-----%0AA%0A-----END%20CERTIFICATE-----",
    "bytes behind the DER": quote(
        f"-----BEGIN CERTIFICATE-----\n{base64.b64encode(LEAF + b'x').decode()}\n-----END CERTIFICATE-----", safe=""
    ).encode(),
    "a private key": b"-----BEGIN%20PRIVATE%20KEY-----%0AMAA%3D%0A-----END%20PRIVATE%20KEY-----",
    "not ASCII": envoy(LEAF) + b"\xe9",
    "a word": b"(null)",
    "a dash": b"-",
    "too long": envoy(LEAF) + b"%0A" * MAX_BYTES,
}


@pytest.mark.parametrize("kind", ["peer", "header"])
@pytest.mark.parametrize("value", GARBLED.values(), ids=GARBLED)
def test_checklist_18_anything_but_one_certificate_is_refused(kind: str, value: bytes) -> None:
    assert refusal(kind, value) == "malformed-certificate"


def test_checklist_18_a_plus_stays_a_plus() -> None:
    """`%2B` in base64 that a proxy left as it is: read as a blank it would be another certificate."""
    assert leaf("peer", envoy(LEAF).replace(b"%2B", b"+")) == LEAF


OTHER = ROOT.leaf(uris=("spiffe://hospital.example/ns/prod/sa/admin",))


def test_checklist_18_an_xfcc_without_its_certificate_establishes_nothing() -> None:
    digest = element(LEAF).decode().split("Hash=")[1][:64]
    assert refusal("xfcc", f"Hash={digest};URI={WORKLOAD}".encode()) == "xfcc-without-certificate"
    assert refusal("xfcc", f'Hash={digest};Cert="";URI={WORKLOAD}'.encode()) == "xfcc-without-certificate"


def test_checklist_18_the_hash_and_the_certificate_must_agree() -> None:
    assert refusal("xfcc", element(LEAF, Hash="ab" * 32)) == "xfcc-hash-mismatch"
    assert refusal("xfcc", element(LEAF, Hash="")) == "xfcc-hash-mismatch"
    assert refusal("xfcc", element(LEAF, Hash="xyz")) == "xfcc-hash-mismatch"
    assert refusal("xfcc", element(LEAF, Cert=f'"{envoy(OTHER).decode()}"')) == "xfcc-hash-mismatch"


def test_checklist_18_a_certificate_without_a_hash_is_refused() -> None:
    """Envoy has no `Cert` to give (it is not asked to), and a SAN of the client has added one."""
    assert refusal("xfcc", f'URI={WORKLOAD};Cert="{envoy(OTHER).decode()}"'.encode()) == "xfcc-hash-mismatch"
    own = element(LEAF).decode().split("Hash=")[1][:64]
    forged = f'Hash={own};URI=spiffe://a/x;Cert="{envoy(OTHER).decode()}"'
    assert refusal("xfcc", forged.encode()) == "xfcc-hash-mismatch"


@pytest.mark.parametrize(
    "value",
    [
        element(OTHER) + b"," + element(LEAF),
        element(LEAF) + b"," + element(OTHER),
        element(LEAF) + b";URI=spiffe://hospital.example/ns/prod/sa/admin",
        element(LEAF) + b";Hash=" + b"a" * 64,
        element(LEAF) + b";",
        b'Subject="x,' + element(LEAF),
        element(LEAF)[:-60],
        b"-",
    ],
)
def test_checklist_18_a_forged_xfcc_is_refused_and_never_no_certificate(value: bytes) -> None:
    assert refusal("xfcc", value) == "malformed-xfcc"


# ---------------------------------------------------------------------------------------------- from the leaf to a peer


def test_a_workload_is_who_its_only_uri_says() -> None:
    found = certificate.caller(peer(LEAF, DOMAINS, NOW), DOMAINS)
    assert (found.subject_type, found.subject_id, found.via) == ("service", WORKLOAD, "certificate")
    assert (found.issuer, found.client) == ("hospital.example", WORKLOAD)
    assert found.expires == int(END.timestamp()) * SECOND
    assert found.certificate == {
        "spiffe_id": WORKLOAD,
        "trust_domain": "hospital.example",
        "path": "/ns/prod/sa/lab",
        "fingerprint": x509.load_der_x509_certificate(LEAF).fingerprint(hashes.SHA256()).hex(),
        "serial": f"{x509.load_der_x509_certificate(LEAF).serial_number:x}",
        "expires": "2030-01-31T00:00:00Z",
        "dns": [],
        "verified": True,
    }


def test_dns_names_beside_the_uri_are_told_and_nothing_else() -> None:
    found = peer(ROOT.leaf(dns=("a.example", "b.example")), DOMAINS, NOW)
    assert found.attributes["dns"] == ["a.example", "b.example"]
    assert found.spiffe_id == WORKLOAD


@pytest.mark.parametrize(
    "der",
    [
        ROOT.leaf(uris=(), dns=(WORKLOAD,)),
        ROOT.leaf(uris=(), dns=("spiffe://hospital.example/ns/prod/sa/admin", WORKLOAD)),
        ROOT.leaf(uris=(), cn=WORKLOAD),
        ROOT.leaf(uris=("https://hospital.example/ns/prod/sa/lab",), dns=(WORKLOAD,), cn=WORKLOAD),
        ROOT.leaf(uris=(), names=[x509.RFC822Name("admin@hospital.example")]),
        ROOT.leaf(uris=(), names=[x509.DirectoryName(name(WORKLOAD))]),
    ],
    ids=["dns", "two-dns", "common-name", "another-uri", "mail", "directory-name"],
)
def test_checklist_19_a_name_that_only_looks_like_a_spiffe_id_is_nobody(der: bytes) -> None:
    assert whose(der) == "(certificate-is-nobody)"


@pytest.mark.parametrize(
    "uris",
    [
        (),
        (WORKLOAD, "spiffe://hospital.example/ns/prod/sa/admin"),
        (WORKLOAD, WORKLOAD),
        (WORKLOAD, "https://hospital.example"),
        ("spiffe://hospital.example",),
        ("spiffe://hospital.example/ns/prod/sa/../sa/lab",),
        ("SPIFFE://hospital.example/ns/prod/sa/lab",),
        ("spiffe://hospital.example.evil/ns/prod/sa/lab",),
        ("spiffe://hospital.example/ns/prod/sa/x;URI=spiffe://hospital.example/ns/prod/sa/lab",),
    ],
)
def test_checklist_18_without_exactly_one_sound_uri_nobody_is_named(uris: tuple[str, ...]) -> None:
    der = ROOT.leaf(uris=uris)
    assert whose(der) == "(certificate-is-nobody)"
    told = peer(der, DOMAINS, NOW).attributes
    assert set(told) == {"fingerprint", "expires", "verified"}
    assert told["verified"] is False


@pytest.mark.parametrize(
    "names",
    [
        [x509.UniformResourceIdentifier(WORKLOAD + "\0.evil")],
        [x509.UniformResourceIdentifier(WORKLOAD + " x")],
        [x509.UniformResourceIdentifier(WORKLOAD + "\n")],
        [x509.UniformResourceIdentifier("")],
        [x509.UniformResourceIdentifier(WORKLOAD), x509.DNSName("a.example\0.evil.example")],
        [x509.UniformResourceIdentifier(WORKLOAD), x509.DNSName("a.example\r\nx")],
        [x509.UniformResourceIdentifier(WORKLOAD), x509.DNSName("")],
        [x509.UniformResourceIdentifier(WORKLOAD), x509.RFC822Name("a@x.example\0y")],
    ],
)
def test_checklist_18_a_nul_or_an_odd_character_in_a_name_is_refused(names: list[x509.GeneralName]) -> None:
    assert whose(ROOT.leaf(uris=(), names=names)) == "(malformed-certificate)"


def test_a_certificate_counts_from_its_first_to_its_last_second() -> None:
    begin, end = int(BEGIN.timestamp()) * SECOND, int(END.timestamp()) * SECOND
    assert whose(LEAF, now=begin - 1) == "(certificate-not-yet-valid)"
    assert whose(LEAF, now=begin) == whose(LEAF, now=end) == WORKLOAD
    assert whose(LEAF, now=end + 1) == "(certificate-expired)"


@pytest.mark.parametrize(
    "extension",
    [
        x509.BasicConstraints(ca=True, path_length=None),
        usage("digital_signature", "key_cert_sign"),
        usage("digital_signature", "crl_sign"),
        usage("key_encipherment"),
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]),
    ],
)
def test_what_signs_others_or_is_not_for_clients_is_nobody(extension: x509.ExtensionType) -> None:
    assert whose(ROOT.leaf(extension)) == "(certificate-not-for-clients)"


@pytest.mark.parametrize(
    "extension",
    [
        x509.BasicConstraints(ca=False, path_length=None),
        usage("digital_signature", "key_agreement"),
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]),
    ],
)
def test_what_an_svid_says_of_itself_is_accepted(extension: x509.ExtensionType) -> None:
    assert whose(ROOT.leaf(extension)) == WORKLOAD


# ------------------------------------------------------------------------------------------------------------ the chain


def domains(*roots: Signer, through: tuple[Signer, ...] = ()) -> dict[str, TrustDomain]:
    ders = [tuple(each.certificate.public_bytes(Encoding.DER) for each in some) for some in (roots, through)]
    name = "hospital.example"
    return {name: TrustDomain(name, "service", PATTERNS, roots=ders[0], intermediates=ders[1])}


def test_a_leaf_has_to_be_of_its_trust_domain_s_authority() -> None:
    assert whose(LEAF, domains(ROOT)) == WORKLOAD
    assert whose(LEAF, domains(Signer("other"), ROOT)) == WORKLOAD
    assert peer(LEAF, domains(ROOT), NOW).expires == int(END.timestamp()) * SECOND


def test_checklist_19_another_authority_s_leaf_is_not_of_the_trust_domain() -> None:
    assert whose(Signer("root").leaf(), domains(ROOT)) == "(certificate-not-of-its-trust-domain)"
    assert whose(Signer("evil").leaf(), domains(ROOT)) == "(certificate-not-of-its-trust-domain)"


def test_a_leaf_through_an_intermediate_that_is_configured() -> None:
    between = Signer("between", ROOT)
    assert whose(between.leaf(), domains(ROOT, through=(between,))) == WORKLOAD
    assert whose(between.leaf(), domains(ROOT)) == "(certificate-not-of-its-trust-domain)"


def test_checklist_19_a_leaf_signs_nobody() -> None:
    """The attacker has a leaf, and signs another one with its key."""
    mallory = Signer("mallory")
    mallory.certificate = ROOT.sign(mallory.key.public_key(), mallory.name)
    assert whose(mallory.leaf(), domains(ROOT, through=(mallory,))) == "(certificate-not-of-its-trust-domain)"


def test_a_path_that_is_longer_than_an_authority_allows_is_refused() -> None:
    root = Signer("short", length=0)
    between = Signer("between", root)
    assert whose(between.leaf(), domains(root, through=(between,))) == "(certificate-not-of-its-trust-domain)"


def test_a_leaf_is_worth_no_more_than_its_chain_at_any_time() -> None:
    root = Signer()
    long = root.leaf(end=END + timedelta(days=30))
    known, end = domains(root), int(END.timestamp()) * SECOND
    assert whose(long, known, now=end) == WORKLOAD
    assert peer(long, known, end).expires == end
    assert whose(long, known, now=end + 2 * SECOND) == "(certificate-not-of-its-trust-domain)"
    assert whose(long, known, now=end - SECOND) == WORKLOAD


def test_a_file_of_authorities_holds_nothing_else() -> None:
    root = ROOT.certificate.public_bytes(Encoding.PEM)
    assert chain.authorities(root + b"\n" + root) == (ROOT.certificate.public_bytes(Encoding.DER),) * 2
    key = b"-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n"
    for wrong in (b"", b"x", pem(LEAF).encode(), root + pem(LEAF).encode(), root + key, root.replace(b"M", b"N", 5)):
        with pytest.raises(ValueError, match="must hold certificates"):
            chain.authorities(wrong)


AUTHORITY = (x509.BasicConstraints(ca=True, path_length=None), usage("key_cert_sign"))


@pytest.mark.parametrize(
    ("extensions", "key"),
    [
        (AUTHORITY[:1], KEY),
        (AUTHORITY[1:], KEY),
        ((AUTHORITY[0], usage("digital_signature")), KEY),
        ((*AUTHORITY, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])), KEY),
        ((*AUTHORITY, x509.NameConstraints([x509.UniformResourceIdentifier("hospital.example")], None)), KEY),
        (AUTHORITY, ed25519.Ed25519PrivateKey.generate()),
        (AUTHORITY, rsa.generate_private_key(65_537, 1_024)),
    ],
    ids=["no-usage", "no-constraints", "signs-nothing", "servers-alone", "uri-constraints", "ed25519", "short-key"],
)
def test_an_authority_whose_leaves_would_all_be_refused_is_said_at_start(
    extensions: tuple[x509.ExtensionType, ...], key: Any
) -> None:
    builder = x509.CertificateBuilder(name("x"), name("x"), key.public_key(), 7, BEGIN, END)
    for each in extensions:
        builder = builder.add_extension(each, critical=True)
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    with pytest.raises(ValueError, match="certificates of authorities alone"):
        chain.authorities(builder.sign(key, digest).public_bytes(Encoding.PEM))


# -------------------------------------------------------------------------------------------------------------- fuzzing


@given(st.sampled_from(["peer", "header", "xfcc"]), st.binary(max_size=400))
@example("xfcc", element(LEAF))
@example("peer", envoy(LEAF))
def test_any_bytes_are_a_certificate_or_refused(kind: str, data: bytes) -> None:
    try:
        found = leaf(kind, data)
    except Unknown:
        return
    assert found is None or x509.load_der_x509_certificate(found)


@given(st.integers(0, len(LEAF) - 1), st.integers(0, 255), st.integers(0, len(LEAF) - 1), st.integers(0, 255))
def test_a_certificate_with_any_byte_changed_is_not_of_the_trust_domain(i: int, x: int, j: int, y: int) -> None:
    changed = bytearray(LEAF)
    changed[i], changed[j] = x, y
    assert (whose(bytes(changed), domains(ROOT)) == WORKLOAD) == (bytes(changed) == LEAF)
