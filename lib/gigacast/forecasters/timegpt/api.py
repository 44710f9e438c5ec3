"""The HTTP API of TimeGPT: addresses, key, retries and counts. Of the standard library alone."""

import json
import os
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from gigacast.core.record import parse_json
from gigacast.core.text import printable
from gigacast.errors import ConfigError, ModelError

KEY_VARIABLE, URL_VARIABLE = "NIXTLA_API_KEY", "NIXTLA_BASE_URL"
PRICE_VARIABLE = "NIXTLA_DOLLARS_PER_MILLION_TOKENS"
DEFAULT_URL = "https://api.nixtla.io"
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_RETRIED = frozenset({408, 429, 500, 502, 503, 504})
_REFUSED = {
    401: f"set {KEY_VARIABLE} to a valid key",
    402: "the account has no credit left",
    403: f"set {KEY_VARIABLE} to a key that may forecast",
}
_LONGEST_ANSWER = 1 << 30


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of requests and retries.

    Parameters
    ----------
    attempts : int
        Requests in all for one answer.
    first_delay_s, longest_delay_s : float
        Bounds of the waits between them, which double. A service that says when to come back is
        waited for as long as it says, up to the longest delay.
    timeout_s : float
        Time for one request.
    """

    attempts: int = 7
    first_delay_s: float = 1.0
    longest_delay_s: float = 60.0
    timeout_s: float = 120.0


@dataclass
class Usage:
    """What was asked of the service so far.

    Parameters
    ----------
    requests, retries : int
        Requests that were answered, and those that had to be repeated.
    series, values : int
        Series and values that were sent.
    input_tokens, output_tokens : int
        As the service counts them; 0 where it does not say.
    """

    requests: int = 0
    retries: int = 0
    series: int = 0
    values: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def described(self, dollars_per_million: float | None) -> dict[str, float]:
        """Return the counts, with dollars where the price of a token is known."""
        counts: dict[str, float] = {name: float(count) for name, count in vars(self).items()}
        if dollars_per_million is not None:
            tokens = self.input_tokens + self.output_tokens
            counts["dollars"] = round(tokens * dollars_per_million / 1e6, 6)
        return counts


@dataclass
class TimeGptApi:
    """Answers of the service. Nothing but the key and the requests leaves this machine.

    Parameters
    ----------
    key : str
    url : str
    limits : Limits
    sleep, draw_jitter : callable
        Wait for a number of seconds; return a number in [0, 1).
    """

    key: str = field(repr=False)
    url: str = DEFAULT_URL
    limits: Limits = field(default_factory=Limits)
    sleep: Callable[[float], None] = time.sleep
    draw_jitter: Callable[[], float] = random.random
    usage: Usage = field(default_factory=Usage)

    @classmethod
    def of_environment(cls) -> "TimeGptApi":
        """Return the service that the environment names; its key is found nowhere else.

        Raises
        ------
        ConfigError
        """
        key = os.environ.get(KEY_VARIABLE, "").strip()
        if not key or not key.isascii() or not key.isprintable():
            raise ConfigError(
                f"timegpt: {KEY_VARIABLE} holds no key",
                hint="the series are sent to Nixtla, who gives keys: export it, and never write it "
                "into a settings file",
            )
        return cls(key, checked_url(os.environ.get(URL_VARIABLE, "").strip() or DEFAULT_URL))

    def ask(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Send a request and return the answer, after as many attempts as it takes.

        Raises
        ------
        ModelError
            If the service refuses the request, or does not answer to the last attempt.
        """
        content = json.dumps(body, separators=(",", ":"), allow_nan=False).encode()
        for attempt in range(self.limits.attempts):
            status, wait_s, answer = self._ask_once(path, content)
            if status == 200:
                self.usage.requests += 1
                return self._decoded(answer)
            if status not in _RETRIED and status != 0:
                raise ModelError(
                    f"timegpt: the service refuses the request with {status}: {self._text(answer)}",
                    hint=_REFUSED.get(status),
                )
            if attempt + 1 < self.limits.attempts:
                self.usage.retries += 1
                self.sleep(self._delay(attempt, wait_s))
        raise ModelError(
            f"timegpt: no answer to {self.limits.attempts} requests; the last "
            + (f"got {status}" if status else "failed")
            + f": {self._text(answer)}",
            hint="run again later: what is done stays done",
        )

    def _ask_once(self, path: str, content: bytes) -> tuple[int, float, bytes]:
        """Return status, seconds to wait and answer; status 0 where the connection failed."""
        parts = urlsplit(self.url)
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=self.limits.timeout_s)
        headers = {
            "authorization": f"Bearer {self.key}",
            "content-type": "application/json",
            "accept": "application/json",
        }
        try:
            connection.request("POST", f"{parts.path.rstrip('/')}{path}", content, headers)
            response = connection.getresponse()
            return (
                response.status,
                _seconds(response.getheader("retry-after")),
                response.read(_LONGEST_ANSWER),
            )
        except (OSError, HTTPException) as error:
            return 0, 0.0, f"{type(error).__name__}: {error}".encode()
        finally:
            connection.close()

    def _delay(self, attempt: int, wait_s: float) -> float:
        limits = self.limits
        longest = min(limits.longest_delay_s, float(limits.first_delay_s * 2**attempt))
        # Half of it is certain: a service that is throttled needs the time, and many workers that
        # were refused together must not come back together.
        jittered = longest * (0.5 + 0.5 * self.draw_jitter())
        return float(min(limits.longest_delay_s, max(wait_s, jittered)))

    def _text(self, answer: bytes) -> str:
        """Return the beginning of an answer for an error; a key that it repeats is left out."""
        text = answer.decode(errors="replace").replace(self.key, "***")
        return printable(" ".join(text.split())[:300])

    @staticmethod
    def _decoded(answer: bytes) -> dict[str, Any]:
        try:
            content = parse_json(answer.decode())
        except ValueError as error:
            raise ModelError(f"timegpt: the answer is not JSON: {error}") from error
        if not isinstance(content, dict):
            raise ModelError("timegpt: the answer is no object of JSON")
        return content


def checked_url(url: str) -> str:
    """Return the address of the service.

    Raises
    ------
    ConfigError
        If it is none, or would send the key in the clear.
    """
    try:
        parts = urlsplit(url)
        is_safe = parts.scheme == "https" or (
            parts.scheme == "http" and parts.hostname in _LOOPBACK
        )
        is_url = bool(parts.hostname) and parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        is_safe = is_url = False
    if not (is_safe and is_url):
        raise ConfigError(
            f"timegpt: {URL_VARIABLE} is no address of HTTPS",
            hint=f"leave it out for {DEFAULT_URL}",
        )
    return url


def price_of_environment() -> float | None:
    """Return dollars per million tokens, where the environment says.

    Raises
    ------
    ConfigError
    """
    text = os.environ.get(PRICE_VARIABLE, "").strip()
    if not text:
        return None
    try:
        price = float(text)
    except ValueError:
        price = -1.0
    if not 0 <= price < 1e9:
        raise ConfigError(f"timegpt: {PRICE_VARIABLE} is no price", hint="write dollars, as 2.5")
    return price


def _seconds(header: str | None) -> float:
    try:
        seconds = float(header or 0)
    except ValueError:  # a date, which few services send
        return 0.0
    return seconds if 0 < seconds < 86_400 else 0.0
