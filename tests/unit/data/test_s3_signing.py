"""Signatures are those of AWS: its examples, and what its own library makes of any request.

Source of the examples: "Signature Calculations for the Authorization Header", S3 API
reference.
"""

from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

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


texts = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12
)


@given(
    path=st.lists(texts, min_size=1, max_size=3),
    query=st.lists(st.tuples(texts, st.one_of(st.just(""), texts)), max_size=3),
    body=st.binary(max_size=20),
    token=st.sampled_from(["", "a/token=="]),
    at_s=st.integers(0, 4_000_000_000),
)
def test_any_request_is_signed_as_the_library_of_aws_signs_it(path, query, body, token, at_s):
    place = "/".join(quote(step, safe="") for step in path)
    pairs = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in query)
    url = urlsplit(f"https://host.example:9000/bucket/{place}?{pairs}")
    credential = Credential(user="AK", password="s+/k", token=token)
    headers = dict(signer(credential, "eu-west-1", lambda: at_s)("PUT", url, body))
    ours = headers.pop("Authorization").rpartition("Signature=")[2]
    request = AWSRequest("PUT", url.geturl(), headers=headers, data=body)
    moment = datetime.fromtimestamp(at_s, UTC).strftime("%Y%m%dT%H%M%SZ")
    request.context["timestamp"] = moment
    theirs = S3SigV4Auth(Credentials("AK", "s+/k", token or None), "s3", "eu-west-1")
    text = theirs.string_to_sign(request, theirs.canonical_request(request))
    assert ours == theirs.signature(text, request)
    assert headers["x-amz-content-sha256"] == theirs.payload(request)
