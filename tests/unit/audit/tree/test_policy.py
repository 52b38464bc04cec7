"""Trust policies (c2sp.org/tlog-policy): which witnesses together are enough."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pdp.audit.tree import cosign, note
from pdp.audit.tree.policy import Policy, PolicyError, parse, quorum

KEYS = {
    name: cosign.named(f"{name}.example", Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32))
    for number, name in enumerate(("X1", "X2", "X3", "Y1", "Y2", "Y3"), 1)
}
LOG = note.verifier("log.example", Ed25519PrivateKey.from_private_bytes(bytes(32)))
EXAMPLE = f"""\
# The example of the specification.
log {LOG} https://log.example/

witness X1 {KEYS["X1"]}
 witness\tX2  {KEYS["X2"]}\thttps://x2.example/
witness X3 {KEYS["X3"]}
group X-witnesses 2 X1 X2 X3

witness Y1 {KEYS["Y1"]}
witness Y2 {KEYS["Y2"]}
witness Y3 {KEYS["Y3"]}
   # also a comment
group Y-witnesses any Y1 Y2 Y3

group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
"""


def enough(policy: Policy, *names: str) -> bool:
    return policy.enough({KEYS[each] for each in names})


def test_the_example_of_the_specification() -> None:
    policy = parse(EXAMPLE.encode())
    assert policy.logs == (LOG,)
    assert policy.witnesses == tuple(KEYS.values())
    assert enough(policy, "X1", "X3", "Y2")
    assert enough(policy, *KEYS)
    assert not enough(policy, "X1", "X2", "X3")
    assert not enough(policy, "X1", "Y1", "Y2", "Y3")
    assert not enough(policy)


def test_one_witness_or_none_may_be_the_quorum() -> None:
    one = parse(f"witness X1 {KEYS['X1']}\nquorum X1\n".encode())
    assert enough(one, "X1")
    assert not enough(one, "X2")
    assert enough(parse(b"quorum none\n"))


def test_names_are_bytes() -> None:
    said = b"witness \xff\xfe " + str(KEYS["X1"]).encode() + b"\nquorum \xff\xfe\n"
    assert enough(parse(said), "X1")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no quorum"),
        ("quorum X1\n", "line 1: a name that no line before"),
        ("quorum none\nquorum none\n", "line 2: a second quorum"),
        ("group G any X1\nquorum G\n", "line 1: a name that no line before"),
        (f"witness none {KEYS['X1']}\nquorum none\n", "line 1: a name that is taken"),
        (f"witness A {KEYS['X1']}\nwitness A {KEYS['X2']}\nquorum A\n", "line 2: a name that is taken"),
        (f"witness A {KEYS['X1']}\nwitness B {KEYS['X1']}\nquorum A\n", "line 2: a key that is there already"),
        (f"witness A {KEYS['X1']}\ngroup G 2 A\nquorum G\n", "line 2: 2 of 1"),
        (f"witness A {KEYS['X1']}\ngroup G 0 A\nquorum G\n", "line 2: a group says"),
        (f"witness A {KEYS['X1']}\ngroup G 01 A\nquorum G\n", "line 2: a group says"),
        (f"witness A {KEYS['X1']}\ngroup G some A\nquorum G\n", "line 2: a group says"),
        (f"witness A {KEYS['X1']}\ngroup G any\nquorum G\n", "line 2: neither"),
        (f"witness A {KEYS['X1']}\ngroup G 2 A A\nquorum G\n", "line 2: a name that is a member already"),
        (f"witness A {KEYS['X1']}\ngroup G any A\ngroup H any A\nquorum H\n", "line 3: a name that is a member"),
        (f"witness A {KEYS['X1']}\ngroup G any none\nquorum G\n", "line 2: a name that no line before"),
        (f"witness A {LOG}\nquorum A\n", "line 1: the key in the vkey"),
        (f"log {KEYS['X1']}\nquorum none\n", "line 1: the key in the vkey"),
        (f"log {LOG}\nlog {LOG}\nquorum none\n", "line 2: a key that is there already"),
        ("log nothing\nquorum none\n", "line 1: a vkey is"),
        ("Quorum none\n", "line 1: neither"),
        ("quorum none # a comment\n", "line 1: neither"),
        ("quorum none\r\n", "a control character"),
        ("quorum none\n\x00", "a control character"),
        ("#" * (1 << 20) + "\nquorum none\n", "longer"),
    ],
)
def test_what_is_no_policy_is_refused(text: str, why: str) -> None:
    with pytest.raises(PolicyError, match=why):
        parse(text.encode())


def test_the_same_key_under_two_names_is_one_witness() -> None:
    """An Ed25519 cosignature does not say the name of its witness."""
    private = Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32)
    with pytest.raises(PolicyError, match="same key"):
        quorum([KEYS["X1"], cosign.named("another.example", private)], 2)
    for least in (0, 3):
        with pytest.raises(PolicyError, match="quorum of"):
            quorum([KEYS["X1"], KEYS["X2"]], least)
