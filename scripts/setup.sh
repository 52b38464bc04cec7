# Sourced by the other scripts: `setup test|serve|bench` makes .venv and installs the package with what is asked for.
# A stamp holds the digest of what was installed from, so that the second call costs nothing.

python_311() {
    local candidate
    for candidate in "${PDP_PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11; do
        if [ -n "$candidate" ] && command -v "$candidate" >/dev/null &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    echo "Python 3.11 or later is needed; install python3 and python3-venv, or set PDP_PYTHON" >&2
    return 1
}

setup() {
    local extras python want
    case "$1" in
        serve) extras="" ;;
        demo) extras="[demo]" ;;
        test) extras="[dev]" ;;
        bench) extras="[bench]" ;;
        fuzz) extras="[dev,fuzz]" ;;
    esac
    python=$(python_311)
    if [ ! -x .venv/bin/python ] || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
        if ! "$python" -m venv .venv >/dev/null 2>&1; then
            if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
                apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null
            fi
            "$python" -m venv .venv || { echo "cannot make .venv: install the package python3-venv" >&2; return 1; }
        fi
    fi
    want=$(cat setup.cfg pyproject.toml | cksum)
    if [ "$(cat ".venv/.installed-$1" 2>/dev/null)" != "$want" ]; then
        .venv/bin/python -m pip install -q --disable-pip-version-check -e ".$extras"
        printf '%s' "$want" > ".venv/.installed-$1"
    fi
}

# The proxies and tools that the tests ask, from Debian's packages, where they are missing and we may install them.
engines() {
    local missing=() each
    for each in nginx haproxy caddy; do
        PATH="$PATH:/usr/sbin" command -v "$each" >/dev/null || missing+=("$each")
    done
    PATH="$PATH:/usr/sbin" command -v rsyslogd >/dev/null || missing+=(rsyslog rsyslog-gnutls)
    if [ "${#missing[@]}" -gt 0 ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        # Not started: the tests start their own, on ports of their own.
        local rc=/usr/sbin/policy-rc.d made=""
        [ -e "$rc" ] || { printf '#!/bin/sh\nexit 101\n' > "$rc"; chmod 755 "$rc"; made=1; }
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null
        [ -z "$made" ] || rm -f "$rc"
    fi
}

# Others' tools that the tests hold our log against. Without what they ask for: one wants an older cachetools, the other
# a later Python, and both work as we use them.
outsiders() {
    .venv/bin/python -c 'import aics_tlog, pymerkle' 2>/dev/null ||
        .venv/bin/python -m pip install -q --disable-pip-version-check --no-deps --ignore-requires-python \
            aics-tlog==0.2.1 pymerkle==7.0.0 ||
        echo "pymerkle and aics-tlog are not there; their tests are skipped" >&2
}

# The OpenID provider that the tests get tokens from, exactly as its lockfile says, where npm is.
setup_oidc() {
    local place=tests/service/oidc
    if [ ! -d "$place/node_modules" ] && command -v npm >/dev/null; then
        npm ci --prefix "$place" --no-audit --no-fund --ignore-scripts --loglevel=error >/dev/null ||
            echo "the OpenID provider is not there; its tests are skipped" >&2
    fi
}

# The Kafka broker that the tests ask, exactly as its pom.xml says, where Maven is.
setup_kafka() {
    local place=tests/service/kafka
    if [ ! -d "$place/libs" ] && command -v mvn >/dev/null; then
        mvn -q -B -f "$place/pom.xml" dependency:copy-dependencies -DoutputDirectory=libs >/dev/null ||
            { rm -rf "$place/libs"; echo "the Kafka broker is not there; its tests are skipped" >&2; }
    fi
}
