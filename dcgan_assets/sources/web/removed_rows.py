"""What tables still say of a picture or person that was removed: that there was one, and no more.

A removed row stays, so that the counts add up. It keeps its key, status, reason and whatever says
nothing of anybody; names, addresses, makers and hashes are null, or empty where null is not
allowed. All tables of the group are written through `forget_removed`.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from dcgan_assets.sources.web.wanted import Reason

# Of all tables, the columns that say who or what it was. The key of `people` is the address of
# the person, by which the removal list has it as well.
TELLING = frozenset(
    {
        *("person", "person_name", "person_uri", "name", "wikidata", "birth_date", "sitelinks"),
        *("address", "final_address", "original", "page", "source_uri"),
        *("author", "attribution", "licence_url", "restrictions"),
        *("sha1", "sha256", "source_sha256", "photo_sha256"),
    }
)


def forget_removed(table: pa.Table) -> pa.Table:
    """The table without what its removed rows tell.

    Args:
        table: With a column `reason`; `TELLING` columns that allow no null are strings.
    """
    removed = pc.match_substring_regex(table["reason"], f"^{Reason.REMOVED}(:|$)")
    if not pc.any(removed).as_py():
        return table
    removed = pc.fill_null(removed, False)
    for place, field in enumerate(table.schema):
        if field.name in TELLING:
            nothing = pa.scalar(None if field.nullable else "", field.type)
            values = pc.if_else(removed, nothing, table[field.name])
            table = table.set_column(place, field, values)
    return table
