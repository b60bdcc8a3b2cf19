"""History of changes that platforms confirmed, and the measured bound of each account"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "platform_confirmations",
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("brand_id", "campaign_id", "status_change_id")),
        sa.Column("platform_account_id", sa.BigInteger(), nullable=False),
        sa.Column("desired", sa.Text(), nullable=False),
        sa.Column("decided_at", MOMENT, nullable=False),
        sa.Column("confirmed_at", MOMENT, nullable=False),
        sa.CheckConstraint("desired IN ('active', 'inactive')", name=op.f("ck_platform_confirmations_desired_known")),
        sa.CheckConstraint(
            "confirmed_at >= decided_at", name=op.f("ck_platform_confirmations_confirmed_after_decision")
        ),
        sa.ForeignKeyConstraint(
            ["brand_id", "campaign_id"],
            ["campaigns.brand_id", "campaigns.id"],
            name="fk_platform_confirmations_campaigns",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["platform_account_id"], ["platform_accounts.id"], name=op.f("fk_platform_confirmations_platform_accounts")
        ),
        sa.PrimaryKeyConstraint("brand_id", "campaign_id", "status_change_id", name=op.f("pk_platform_confirmations")),
    )
    op.create_table(
        "platform_bounds",
        sa.Column("platform_account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("measured_at", MOMENT, nullable=False),
        sa.Column("pauses", sa.Integer(), nullable=False),
        sa.Column("days", sa.Integer(), nullable=False),
        sa.Column("bound_micros", sa.BigInteger(), nullable=True),
        sa.Column("grows_seconds", sa.Integer(), nullable=True),
        sa.Column("settles_after_days", sa.Integer(), nullable=True),
        *(
            sa.CheckConstraint(rule, name=op.f(f"ck_platform_bounds_{name}"))
            for name, rule in (
                ("counts_not_negative", "pauses >= 0 AND days >= 0"),
                ("bound_not_negative", "bound_micros >= 0"),
                ("growth_not_negative", "grows_seconds >= 0"),
                ("settling_not_negative", "settles_after_days >= 0"),
                ("bound_and_growth_together", "(bound_micros IS NULL) = (grows_seconds IS NULL)"),
            )
        ),
        sa.ForeignKeyConstraint(
            ["platform_account_id"],
            ["platform_accounts.id"],
            name=op.f("fk_platform_bounds_platform_accounts"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("platform_account_id", name=op.f("pk_platform_bounds")),
    )


def downgrade() -> None:
    op.drop_table("platform_bounds")
    op.drop_table("platform_confirmations")
