"""The codes of this room, one module for each kind of configuration: `ENTRIES`, code -> Entry.

`bad` replaces `good` in a configuration of the tests that is fine: with the one the code is found, with the other it is
not. Where an entry stands `alone`, both are whole files. `docs/lint-proxy.md` is made from them.
"""

from __future__ import annotations

from typing import Final

from pdp.diagnostics.catalogue.entry import Entry
from pdp.lint.catalogue.envoy import ENTRIES as ENVOY
from pdp.lint.catalogue.istio import ENTRIES as ISTIO
from pdp.lint.catalogue.nginx import ENTRIES as NGINX
from pdp.lint.catalogue.proxy import ENTRIES as PROXY

KINDS: Final = ("proxy", "envoy", "istio", "nginx")

CATALOGUE: Final[dict[str, Entry]] = PROXY | ENVOY | ISTIO | NGINX
