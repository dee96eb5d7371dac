"""The examples of AWS: "Signature Calculations for the Authorization Header", S3 API reference."""

from urllib.parse import urlsplit

import pytest

from euclid_dask.data.credentials import Credential
from euclid_dask.data.storages.s3_signing import signer

EXAMPLE = Credential(
    user="AKIAIOSFODNN7EXAMPLE", password="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
)
AT_S = 1369353600.0  # 2013-05-24T00:00:00Z


@pytest.mark.parametrize(
    ("query", "signature"),
    [
        ("lifecycle", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        ("prefix=J&max-keys=2", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
    ],
)
def test_requests_are_signed_as_aws_signs_them(query, signature):
    sign = signer(EXAMPLE, "us-east-1", lambda: AT_S)
    headers = sign("GET", urlsplit(f"https://examplebucket.s3.amazonaws.com/?{query}"), b"")
    assert headers["Authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
        f"SignedHeaders=host;x-amz-content-sha256;x-amz-date,Signature={signature}"
    )


def test_nobody_signs_nothing():
    headers = signer(Credential(), "us-east-1", lambda: AT_S)("GET", urlsplit("https://h/b/x"), b"")
    assert "Authorization" not in headers


def test_a_session_has_a_token():
    session = Credential(user="a", password="b", token="t")
    headers = signer(session, "eu-west-1", lambda: AT_S)("PUT", urlsplit("https://h/b/x"), b"1")
    assert headers["x-amz-security-token"] == "t"
    assert "x-amz-security-token" in headers["Authorization"]
