"""No foreign key from status changes to campaigns: its check for each row lengthened the lock that orders them

Each status change comes with a hold change of the same campaign in the same transaction, whose foreign key remains.
"""

from alembic import op

revision = "0047"
down_revision = "0046"
branch_labels = None
depends_on = None

NAME = "fk_status_changes_campaigns"
COLUMNS = ["brand_id", "campaign_id"]


def upgrade() -> None:
    op.drop_constraint(NAME, "status_changes", type_="foreignkey")


def downgrade() -> None:
    # Validated by a statement of its own, so that no lock on campaigns is held while all rows are read.
    op.create_foreign_key(NAME, "status_changes", "campaigns", COLUMNS, ["brand_id", "id"], postgresql_not_valid=True)
    op.execute(f"ALTER TABLE status_changes VALIDATE CONSTRAINT {NAME}")
