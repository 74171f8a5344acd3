"""The names of scorers, which are the same for all versions of a scorer."""

from __future__ import annotations

import re
from urllib.parse import unquote

_REFERENCE = re.compile(
    r"weave:///[^/]+/[^/]+/(?:object/(?P<object>[^/:]+)|op/(?P<op>[^/:]+?)(?:\.score)?):[^/]*"
)


def scorer_name(scorer: str) -> str:
    """Return NAME of `weave:///ENTITY/PROJECT/object/NAME:DIGEST`, otherwise `scorer`.

    The NAME of an op does not include `.score`, the method of a class.
    """
    match = _REFERENCE.fullmatch(scorer)
    return unquote(match["object"] or match["op"]) if match else scorer
