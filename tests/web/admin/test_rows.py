"""The admin joins rows of spread tables by their brand, as Citus needs it."""

from sqlalchemy import inspect

from db.models.base import Base
from db.repository.spread.places import SPREAD, brand_column
from web.admin.rows import AuditRow, BudgetRow, CampaignRow, KeyRow, StatusChangeRow

ROWS: tuple[type[Base], ...] = (AuditRow, BudgetRow, CampaignRow, KeyRow, StatusChangeRow)


def test_each_relation_between_spread_tables_is_by_brand() -> None:
    loose = set()
    for relation in (one for row in ROWS for one in inspect(row).relationships):
        ours, theirs = (str(mapper.local_table) for mapper in (relation.parent, relation.mapper))
        pairs = {(local.name, remote.name) for local, remote in relation.local_remote_pairs}
        if {ours, theirs} <= {*SPREAD} and (brand_column(ours), brand_column(theirs)) not in pairs:
            loose.add(f"{ours}.{relation.key}")
    assert loose == set()
