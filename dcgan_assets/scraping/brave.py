"""Pictures from Brave's image search, which needs a key and is paid for.

It states no licences: what it finds is taken only where the user accepts unstated ones.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from typing import Any

from dcgan_assets.scraping.answers import Answer, MalformedError, RefusedError
from dcgan_assets.scraping.client import ApiClient
from dcgan_assets.scraping.found import FoundPicture, Subject, positive
from dcgan_models.errors import UserError

BRAVE_ENDPOINT = "https://api.search.brave.com/res/v1/images/search"
KEY_VARIABLE = "BRAVE_SEARCH_API_KEY"
_MOST = 200
_WRONG_KEY = ("SUBSCRIPTION_TOKEN_INVALID", "SUBSCRIPTION_NOT_FOUND", "OPTION_NOT_IN_PLAN")


class BraveSearch:
    """One request a person: there is no second page. The key is in no log and no error.

    Raises:
        UserError: The environment holds no key, or something that cannot be one.
    """

    name = "brave"

    def __init__(self, client: ApiClient, endpoint: str = BRAVE_ENDPOINT) -> None:
        self._client = client
        self._endpoint = endpoint
        key = os.environ.get(KEY_VARIABLE, "")
        if not re.fullmatch(r"[\x21-\x7e]{8,200}", key):
            problem = "is not set" if not key else "holds no key"
            raise UserError(
                f"search brave: the environment variable {KEY_VARIABLE} {problem}; "
                "Brave's image search needs one"
            )
        self._key = key

    async def check(self) -> None:
        """Ask for one picture, which counts as a request: a wrong key shows at once."""
        await self._ask("portrait", 1)

    async def search(self, subject: Subject, most: int) -> AsyncIterator[FoundPicture]:
        """As `ImageSearch.search`."""
        answer = await self._ask(subject.name, min(most, _MOST))
        try:
            results = list(answer.json["results"])[:most]
        except (KeyError, TypeError) as error:
            raise MalformedError("brave: JSON without `results`") from error
        for result in results:
            yield _picture(result)

    async def _ask(self, words: str, count: int) -> Answer:
        return await self._client.get_json(
            self._endpoint,
            {"q": words[:400], "count": str(count), "safesearch": "strict"},
            headers={"X-Subscription-Token": self._key, "Accept": "application/json"},
            judge=_judge,
        )


def _judge(answer: Answer) -> None:
    """A wrong key or a used-up quota ends everything; a limit a second is waited for.

    Raises:
        UserError: The key or the quota.
        RefusedError: Brave does not accept this query.
    """
    if answer.status == 200:
        return
    code = _code(answer)
    if answer.status in (401, 403) or code in _WRONG_KEY:
        raise UserError(
            f"search brave: the key in {KEY_VARIABLE} is not accepted "
            f"(HTTP {answer.status} {code})".rstrip(" )")
            + ")"
        )
    if answer.status == 402 or code == "QUOTA_LIMITED" or _month_is_used_up(answer):
        raise UserError(
            "search brave: the quota of this key is used up; what was found is kept, run again "
            "when it is renewed"
        )
    if answer.status in (400, 404, 422):
        raise RefusedError(f"brave: HTTP {answer.status} {code}".rstrip())


def _code(answer: Answer) -> str:
    try:
        return re.sub(r"[^A-Z_]", "", str(answer.json["error"]["code"]))[:40]
    except (MalformedError, KeyError, TypeError):
        return ""


def _month_is_used_up(answer: Answer) -> bool:
    """Whether the longest of the windows in X-RateLimit-Remaining, the last, has nothing left.

    The header lists a window a second first, '1, 1432'. With one window alone nothing is known.
    """
    left = answer.headers.get("X-RateLimit-Remaining", "").split(",")
    return answer.status == 429 and len(left) > 1 and left[-1].strip() == "0"


def _picture(result: Any) -> FoundPicture:
    try:
        properties = result["properties"]
        return FoundPicture(
            search="brave",
            page=result.get("url"),
            address=str(properties["url"]),
            width=positive(properties.get("width")),
            height=positive(properties.get("height")),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise MalformedError("brave: a result without `properties.url`") from error
