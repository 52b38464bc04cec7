"""`pdp serve`: run the service until it is told to end."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdp.cli.failure import USAGE, Failure
from pdp.cli.loading import checked, diagnosed

if TYPE_CHECKING:
    from pdp.cli.main import Subparsers
    from pdp.config import Settings
    from pdp.serve.view import View


def add(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "serve",
        help="run the service",
        description="Run the service. Settings come from pdp.toml and PDP_* variables: docs/settings.md.",
        epilog="exit codes: 0 told to end, 2 settings that cannot be used, 3 the policy set does not check",
    )
    parser.add_argument(
        "policies", nargs="?", help="the policy directory (else PDP_POLICIES, pdp.toml, policies/hospital)"
    )
    parser.add_argument(
        "--check-settings", action="store_true", help="say what a start would refuse or warn of, and stop"
    )


def _console(settings: Settings, view: View) -> Any:
    """Called in the management process alone: no other one imports Flask."""
    from pdp.console.app import application

    return application(settings, view)


def _checked(settings: Settings) -> int:
    """What a start would refuse, and what it would warn of; without a start. Raises ConfigError and Failure."""
    from pdp.config import ConfigError
    from pdp.serve import preflight, tls
    from pdp.serve.agreement import disagreements

    problems = preflight.obstacles(settings) + preflight.unmade(settings)
    if problems:
        raise ConfigError(problems)
    weaknesses = tls.warnings(settings, time.time_ns() // 1000) + preflight.weaknesses(settings)
    weaknesses += preflight.ground(settings) + settings.sessions.warnings(settings.issuers)
    with diagnosed():
        weaknesses += disagreements(settings, checked(str(settings.policies)).policies)
    for each in weaknesses:
        print(f"WARNING: {each}")
    print(f"the settings from {settings.source} can be used; {preflight.places(settings)}")
    return 0


def run(args: argparse.Namespace) -> int:
    from pdp.config import ConfigError, load

    environment = dict(os.environ)
    if args.policies:
        environment["PDP_POLICIES"] = args.policies
    try:
        settings = load(environment, Path.cwd())
        if args.check_settings:
            return _checked(settings)
        from pdp.serve.supervisor import serve

        return serve(settings, _console)
    except ConfigError as error:
        listed = "\n".join(f"  {each}" for each in error.problems)
        raise Failure(f"the settings cannot be used:\n{listed}", "docs/settings.md lists them all", USAGE) from error
