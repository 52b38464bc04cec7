"""Codes of nginx."""

from __future__ import annotations

from typing import Final

from pdp.diagnostics.catalogue.entry import Entry
from pdp.diagnostics.diagnostic import Severity

STAGE: Final = "nginx"


def _hole(summary: str, explanation: str, bad: str, good: str, alone: bool = False) -> Entry:
    return Entry(STAGE, summary, explanation, bad, good, alone=alone)


def _weak(summary: str, explanation: str, bad: str, good: str) -> Entry:
    return Entry(STAGE, summary, explanation, bad, good, Severity.WARNING)


ENTRIES: Final[dict[str, Entry]] = {
    "nginx-syntax": _hole(
        "the file cannot be read",
        "Nothing of it was judged. `nginx -t` says what nginx makes of it.",
        "server { listen 80; \n",
        "server { listen 80; }\n",
        alone=True,
    ),
    # Is everything checked? -------------------------------------------------------------------------------------------
    "nginx-unchecked": _hole(
        "a location is served without a check",
        "`auth_request` is inherited, unless a location turns it off. What everybody may see is permitted by a rule, "
        "and "
        "recorded.",
        "location /public/ { auth_request off; }\n        location / {",
        "location /public/ { return 404; }\n        location / {",
    ),
    "nginx-satisfy-any": _hole(
        "an address or a password is enough",
        "With `satisfy any` one of `allow`, `auth_basic` and `auth_request` is enough.",
        "satisfy any;\n        auth_request /_chaperone;",
        "satisfy all;\n        auth_request /_chaperone;",
    ),
    "nginx-return-before-check": _weak(
        "`return` answers before the check",
        "`return` and `rewrite` come before `auth_request`, so that what they answer was never checked.",
        'location = /status { return 200 "ok"; }\n        location / {',
        "location = /status { return 404; }\n        location / {",
    ),
    "nginx-deny-disguised": _hole(
        "a deny becomes another answer",
        "With `=` in `error_page` the client gets the status, and the content, of another location in place of a "
        "deny or "
        "of a failed check.",
        "error_page 500 =200 /index.html;\n        error_page 403 @denied;",
        "error_page 500 /index.html;\n        error_page 403 @denied;",
    ),
    "nginx-if": _weak(
        "`if` holds more than a `return`",
        "Inside `if` nginx makes a nameless location that inherits some directives and not others.",
        'if ($arg_raw) { proxy_pass http://service; }\n            proxy_set_header Connection "";\n'
        "            proxy_set_header Host       $host;",
        "if ($arg_raw) { return 403; }\n            proxy_set_header Host       $host;",
    ),
    # Is what is checked what is served? -------------------------------------------------------------------------------
    "nginx-target-rewritten": _hole(
        "`proxy_pass` has a path",
        "nginx then forwards its own path, decoded and with dot segments resolved, and not the one that Chaperone saw.",
        "proxy_pass http://service/;",
        "proxy_pass http://service;",
    ),
    "nginx-variable-target": _hole(
        "a variable chooses the service",
        "With `$host`, `$arg_..` or `$http_..` the client chooses where a permitted request goes.",
        "proxy_pass http://$host;",
        "proxy_pass http://service;",
    ),
    "nginx-request-changed": _hole(
        "another request is passed on than was checked",
        "The check speaks about the method and the host that the client sent.",
        "proxy_method DELETE;\n            proxy_pass http://service;",
        "proxy_pass http://service;",
    ),
    "nginx-answer-kept": _hole(
        "an answer of the service is kept and given to others",
        "The check is made for each request, and then a cache gives whoever is permitted the answer to an earlier "
        "caller, to whom more of it may have been let out.",
        "proxy_cache answers;\n            proxy_pass http://service;",
        "proxy_pass http://service;",
    ),
    "nginx-subrequest": _hole(
        "nginx fetches something by itself",
        "Requests that nginx makes by itself, for SSI, `add_after_body` or `mirror`, are not checked. With `ssi on` "
        "whoever can write into an answer of the service chooses what is fetched.",
        "ssi on;\n            proxy_pass http://service;",
        "proxy_pass http://service;",
    ),
    "nginx-rewrite": _weak(
        "`rewrite` takes another location",
        "The location is chosen by the rewritten path, the check speaks about the one that the client sent.",
        "rewrite ^/old/(.*)$ /new/$1 last;\n        auth_request /_chaperone;",
        "rewrite ^/old/(.*)$ /new/$1 permanent;\n        auth_request /_chaperone;",
    ),
    "nginx-alias": _hole(
        "an alias leads out of its directory",
        "`location /files` with `alias /data/` turns `/files../secret` into `/data/../secret`.",
        "location /files { alias /data/; }\n        location / {",
        "location /files/ { alias /data/; }\n        location / {",
    ),
    "nginx-endless-stream": _weak(
        "websockets have no end",
        "A connection is checked when it begins. nginx cannot end it after a while, so it outlives a logout.",
        "proxy_set_header Upgrade $http_upgrade;\n            proxy_set_header Host       $host;",
        'proxy_set_header Upgrade "";\n            proxy_set_header Host       $host;',
    ),
    # What a client can say --------------------------------------------------------------------------------------------
    "nginx-identity-not-set": _hole(
        "the client's x-pdp-* headers reach the service",
        "Each has to be set in the location that passes on. One `proxy_set_header` of its own, and a location has "
        "none of "
        "its server's.",
        "proxy_set_header X-Pdp-Subjekt      $pdp_subject;",
        "proxy_set_header X-Pdp-Subject      $pdp_subject;",
    ),
    "nginx-identity-forged": _hole(
        "an identity header is set from something else than Chaperone's answer",
        "`$http_x_pdp_subject` is what the client wrote.",
        "proxy_set_header X-Pdp-Subject      $http_x_pdp_subject;",
        "proxy_set_header X-Pdp-Subject      $pdp_subject;",
    ),
    "nginx-overrides-kept": _weak(
        "headers that name another method or path get through",
        "`X-Http-Method-Override: DELETE` on a GET that was permitted is a DELETE to some frameworks; `X-Original-URL` "
        "and `X-Rewrite-URL` are the same for paths.",
        'proxy_set_header X-Other                "";',
        'proxy_set_header X-Http-Method-Override "";',
    ),
    "nginx-underscores": _hole(
        "odd header names get through",
        "`X_Pdp_Subject` and `X.Pdp.Subject` are `X-Pdp-Subject` to services behind CGI, WSGI and the like.",
        "underscores_in_headers on;",
        "underscores_in_headers off;",
    ),
    "nginx-client-certificate-header": _hole(
        "the client's own word about its certificate reaches Chaperone",
        "Where the profile says that nginx names certificates, a client could name any.",
        "proxy_set_header X-Forwarded-Client-Cert $http_x_forwarded_client_cert;",
        'proxy_set_header X-Forwarded-Client-Cert "";',
    ),
    # The question -----------------------------------------------------------------------------------------------------
    "nginx-question-open": _hole(
        "clients can use the location that asks",
        "Without `internal` a client asks in nginx's name, with headers of its own.",
        "location = /_chaperone {\n            # internal;\n",
        "location = /_chaperone {\n            internal;\n",
    ),
    "nginx-question-cached": _hole(
        "answers of Chaperone are cached",
        "The key of a cache hardly holds all that an answer rests on, and an answer outlives a logout.",
        "proxy_cache answers;\n            proxy_pass http://chaperone/forward-auth;",
        "proxy_cache off;\n            proxy_pass http://chaperone/forward-auth;",
    ),
    "nginx-question-intercepted": _hole(
        "denials of Chaperone are handed to `error_page`",
        "With `proxy_intercept_errors` an `error_page` of the server can turn a 403 into a 200, which is a permit.",
        "proxy_intercept_errors on;\n            proxy_pass http://chaperone/forward-auth;",
        "proxy_intercept_errors off;\n            proxy_pass http://chaperone/forward-auth;",
    ),
    "nginx-question-body": _weak(
        "the body, or its length, goes along with the question",
        "A question has no body. With a length and without the body Chaperone waits until the timeout.",
        "proxy_pass_request_body on;",
        "proxy_pass_request_body off;",
    ),
    "nginx-question-incomplete": _hole(
        "the question does not name the request",
        "A header that nginx does not set is the client's own.",
        "proxy_set_header X-Original-Verb $request_method;",
        "proxy_set_header X-Original-Method $request_method;",
    ),
    "nginx-question-wrong": _hole(
        "the question names another request",
        "`$uri` is decoded and normalized; the service gets `$request_uri`.",
        "proxy_set_header X-Original-URI    $uri;",
        "proxy_set_header X-Original-URI    $request_uri;",
    ),
    "nginx-wrong-door": _hole(
        "the question goes to the wrong door",
        "Chaperone answers `auth_request` at `/forward-auth`.",
        "proxy_pass http://chaperone/live;",
        "proxy_pass http://chaperone/forward-auth;",
    ),
    "nginx-timeout": _weak(
        "Chaperone is waited for too long",
        "nginx's default is 60 s. While Chaperone is slow, requests hold connections until there are none.",
        "proxy_read_timeout 60s;",
        "proxy_read_timeout 2s;",
    ),
    "nginx-no-proof": _hole(
        "nothing shows Chaperone who asks",
        "Without a secret or a client certificate, whoever reaches Chaperone can speak as this nginx.",
        'proxy_set_header X-Pdp-Secret "";',
        'proxy_set_header X-Pdp-Secret "0123456789abcdef";',
    ),
    "nginx-credentials-lent": _hole(
        "Chaperone is shown other credentials than the client's",
        "Everybody is then whoever those credentials name.",
        'proxy_set_header Authorization "Bearer abc";\n            proxy_set_header X-Original-Method $request_method;',
        "proxy_set_header X-Original-Method $request_method;",
    ),
    "nginx-chaperone-plaintext": _hole(
        "Chaperone is asked over a network without TLS",
        "Whoever is between the two answers in Chaperone's place, and reads the secret.",
        "server 192.0.2.7:8181;",
        "server 127.0.0.1:8181;",
    ),
    "nginx-chaperone-not-verified": _hole(
        "Chaperone's certificate is not verified",
        "nginx verifies no certificate of a service unless it is told to.",
        "proxy_pass https://chaperone/forward-auth;",
        "proxy_pass http://chaperone/forward-auth;",
    ),
    # TLS --------------------------------------------------------------------------------------------------------------
    "nginx-plaintext": _hole(
        "clients are served without TLS",
        "Patient data and tokens are readable on the way.",
        "listen 80;\n        server_name",
        "listen 443 ssl;\n        server_name",
    ),
    "nginx-old-tls": _hole(
        "TLS before 1.2",
        "Its ciphers are broken or close to it.",
        "ssl_protocols TLSv1 TLSv1.2;\n        server_name",
        "ssl_protocols TLSv1.2 TLSv1.3;\n        server_name",
    ),
    "nginx-untrusted-accepted": _hole(
        "certificates that nobody vouches for are accepted",
        "`optional_no_ca` takes any certificate, and names it to Chaperone.",
        "ssl_verify_client optional_no_ca;\n        server_name",
        "ssl_verify_client optional;\n        server_name",
    ),
    # Logs -------------------------------------------------------------------------------------------------------------
    "nginx-log-target": _weak(
        "the log has the target of each request",
        "The URI of a request for patient data is patient data: a name in a search, the identifier of a record. "
        "Whoever reads that log has them. Where nothing else is said, nginx logs it: say `access_log` with a format.",
        "log_format chaperone '$remote_addr \"$request\" $status $pdp_decision $pdp_receipt';",
        "log_format chaperone '$remote_addr $time_iso8601 $request_method $status $pdp_decision $pdp_receipt';",
    ),
}
