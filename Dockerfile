# syntax=docker/dockerfile:1
# Two stages: wheels are built in the first, the second has neither compiler nor pip cache.
FROM python:3.12-slim-bookworm AS build
WORKDIR /src
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY pdp pdp
COPY grammar grammar
# What some targets of the log and its index need, such as `--build-arg EXTRAS=ship-s3,query`.
ARG EXTRAS=""
RUN python -m venv /opt/pdp \
 && /opt/pdp/bin/pip install --no-cache-dir --disable-pip-version-check ".${EXTRAS:+[$EXTRAS]}" \
 && /opt/pdp/bin/python -m compileall -q /opt/pdp/lib \
 && /opt/pdp/bin/pip uninstall -q -y pip

FROM python:3.12-slim-bookworm
# A numeric user, so that `runAsNonRoot` can be checked by an orchestrator.
RUN groupadd --system --gid 10001 pdp \
 && useradd --system --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin pdp \
 && install -d -o pdp -g pdp -m 0700 /var/lib/pdp/audit /var/lib/pdp/state /var/lib/pdp/keys /var/lib/pdp/privacy
COPY --from=build /opt/pdp /opt/pdp
COPY policies /etc/pdp/policies
# Outside loopback the service starts only with a secret for its enforcement points: mount one at this path,
# readable by uid 10001. Without it the container stops at once and says so.
# PDP_AUDIT_ORIGIN names the log, and is to be set by whoever runs the container: the name of a container changes with
# each, and under another name the log on the volume is not sealed any more.
ENV PATH=/opt/pdp/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PDP_POLICIES=/etc/pdp/policies/hospital \
    PDP_AUDIT_DIR=/var/lib/pdp/audit \
    PDP_STATE_DIR=/var/lib/pdp/state \
    PDP_HTTP_LISTEN=0.0.0.0:8181 \
    PDP_GRPC_LISTEN=0.0.0.0:9191 \
    PDP_MANAGEMENT_LISTEN=127.0.0.1:8282 \
    PDP_PEP_SECRET_FILE=/run/secrets/pdp-pep
USER 10001:10001
# Both outlive the container: the record of every decision, with the keys that sign and encrypt it unless
# PDP_AUDIT_KEYS_DIR, PDP_AUDIT_PRIVACY_DIR and PDP_AUDIT_MASTER_KEY_FILE put them on other volumes
# (/var/lib/pdp/keys, /var/lib/pdp/privacy are there for them, docs/operations.md); and which sessions are over.
VOLUME ["/var/lib/pdp/audit", "/var/lib/pdp/state"]
EXPOSE 8181 9191
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=2s --start-period=5s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8181/ready', timeout=1).read()"]
ENTRYPOINT ["pdp"]
CMD ["serve"]
