"""Signatures of requests to S3. Source: AWS, "Signature Version 4" of the S3 API reference."""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from urllib.parse import SplitResult, parse_qsl, quote

from euclid_dask.data.credentials import Credential
from euclid_dask.data.storages.exchange import Authorize

Now = Callable[[], float]
"""Returns the seconds since the epoch."""


def signer(credential: Credential, region: str, now_s: Now) -> Authorize:
    """Return what makes the headers that prove who sends a request, and that all of it came.

    Args:
        credential: `user` is the access key, `password` the secret, `token` that of a session.
        region: The server's region, as `us-east-1`.
        now_s: A clock, which the server's must agree with.
    """

    def authorize(method: str, url: SplitResult, body: bytes) -> Mapping[str, str]:
        moment = datetime.fromtimestamp(now_s(), UTC).strftime("%Y%m%dT%H%M%SZ")
        headers = {
            "host": url.netloc,
            "x-amz-content-sha256": hashlib.sha256(body).hexdigest(),
            "x-amz-date": moment,
        }
        if credential.token:
            headers["x-amz-security-token"] = credential.token
        proof = authorization(credential, region, canonical(method, url, headers), moment, headers)
        return {**headers, "Authorization": proof} if credential.user else {}

    return authorize


def canonical(method: str, url: SplitResult, headers: Mapping[str, str]) -> str:
    """Return the canonical request: what of it is signed."""
    pairs = parse_qsl(url.query, keep_blank_values=True)
    quoted = sorted((quote(name, safe=""), quote(value, safe="")) for name, value in pairs)
    query = "&".join(f"{name}={value}" for name, value in quoted)
    lines = (f"{name}:{headers[name]}" for name in sorted(headers))
    body = headers["x-amz-content-sha256"]
    return "\n".join([method, url.path or "/", query, *lines, "", ";".join(sorted(headers)), body])


def authorization(
    credential: Credential, region: str, request: str, moment: str, headers: Mapping[str, str]
) -> str:
    """Return the value of the Authorization header for a canonical request."""
    scope = f"{moment[:8]}/{region}/s3/aws4_request"
    key = f"AWS4{credential.password}".encode()
    for step in scope.split("/"):
        key = hmac.digest(key, step.encode(), "sha256")
    digest = hashlib.sha256(request.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{digest}"
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    return (
        f"AWS4-HMAC-SHA256 Credential={credential.user}/{scope},"
        f"SignedHeaders={';'.join(sorted(headers))},Signature={signature}"
    )
