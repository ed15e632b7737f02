import base64
import hashlib
import hmac
import json
import threading
import time
import urllib.request
from urllib.parse import urlsplit

import jwt  # PyJWT, with cryptography

LEEWAY = 60  # seconds that the two clocks may be apart
TOLERANCE = 300  # seconds that a webhook-timestamp may be old
KEYS_LAST = 600  # seconds; then they are fetched again
KEYS_PAUSE = 30  # seconds between two fetches for keys that aren't there

# What a key may be for. Which of them counts is the key's to say, and never the
# token's: with HS256 anybody could sign by the public key.
ALGORITHMS = ("EdDSA", "ES256", "RS256")


class Refused(Exception):
    """The request is no delivery of the server's to this receiver."""


class Unavailable(Exception):
    """The sender may be right, but its keys can't be had now."""


class Keys:
    """The server's keys. They are kept, so that a delivery costs no fetch."""

    def __init__(self, url):
        self.url = url
        self.keys = {}
        self.fetched = float("-inf")
        self.lock = threading.Lock()

    def find(self, kid):
        """Returns the JWK of a kid. One that isn't known may be new, so the keys are
        fetched again, but not for each of the kids that somebody makes up."""
        with self.lock:
            age = time.monotonic() - self.fetched
            if age > KEYS_LAST or age > KEYS_PAUSE and kid not in self.keys:
                self.keys = self.fetch()
                self.fetched = time.monotonic()
            if kid not in self.keys:
                raise Refused("the token's kid is no key of the server's")
            return self.keys[kid]

    def fetch(self):
        try:
            with urllib.request.urlopen(self.url, timeout=5) as response:
                return {key["kid"]: key for key in json.load(response)["keys"]}
        except (OSError, ValueError, KeyError, TypeError) as err:
            raise Unavailable(f"the server's keys can't be had: {err}") from err


class Verifier:
    """Checks that a request is a delivery of the server's to this receiver."""

    def __init__(self, receiver_url, riposte_url=None, issuer=None, secret=None):
        self.url = receiver_url.split("?")[0]
        self.audience = urlsplit(receiver_url).hostname
        self.issuer = issuer
        self.keys = Keys(riposte_url.rstrip("/") + "/auth/v1/jwks") if riposte_url else None
        self.secret = secret
        self.seen = {}  # when each token that was taken expires, by its jti
        self.lock = threading.Lock()
        if not self.keys and not secret:
            raise ValueError("nothing could be verified")

    def verify(self, headers, body):
        """Raises Refused when something is wrong. The body is the bytes as they came,
        before any parsing."""
        if self.secret:
            self.verify_signature(headers, body)
        if self.keys:
            self.verify_jwt(headers, body)

    def verify_jwt(self, headers, body):
        """Checks the token, and that it is about this very request."""
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise Refused("there is no bearer token")
        try:
            key = self.keys.find(jwt.get_unverified_header(token).get("kid"))
            if key.get("alg") not in ALGORITHMS:
                raise Refused("the key is for no algorithm that is taken")
            claims = jwt.decode(
                token,
                jwt.PyJWK(key).key,
                algorithms=[key["alg"]],
                audience=self.audience,
                issuer=self.issuer,
                leeway=LEEWAY,
                options={"require": ["exp", "nbf", "aud", "iss", "jti"]},
            )
        except (jwt.PyJWTError, ValueError, RecursionError) as err:
            raise Refused(f"checking the token: {err}") from err
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        for name, right in (
            ("c1typ", claims.get("c1typ") == "wh"),
            ("htm", claims.get("htm") == "POST"),
            ("htu", claims.get("htu") == self.url),
            ("htb_s256", claims.get("htb_s256") == digest),
            ("Content-Digest", headers.get("Content-Digest") == "sha-256=" + digest),
        ):
            if not right:
                raise Refused(f"{name} is not that of this request")
        self.take_once(claims["jti"], claims["exp"] + LEEWAY)

    def take_once(self, jti, until):
        now = time.time()
        with self.lock:
            self.seen = {seen: end for seen, end in self.seen.items() if end >= now}
            if jti in self.seen:
                raise Refused("this token was seen before: each attempt has its own")
            self.seen[jti] = until

    def verify_signature(self, headers, body):
        """Checks the headers of Standard Webhooks, by hand: an HMAC is all that it
        takes. While a secret is being changed there is one signature by the old and
        one by the new, so one is enough."""
        sent = headers.get("Webhook-Timestamp", "")
        number = sent.isascii() and sent.isdigit() and len(sent) < 16
        if not number or abs(time.time() - int(sent)) > TOLERANCE:
            raise Refused("webhook-timestamp is not of now")
        key = base64.b64decode(self.secret.removeprefix("whsec_"), validate=True)
        signed = f"{headers.get('Webhook-Id', '')}.{sent}.".encode() + body
        expected = "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
        for signature in headers.get("Webhook-Signature", "").split():
            if hmac.compare_digest(signature.encode(), expected.encode()):
                return
        raise Refused("no webhook-signature is by the secret")
