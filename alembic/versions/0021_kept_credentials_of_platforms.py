"""Credentials of platform accounts kept encrypted, and the scope of API keys that may set them"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

REFERENCES = "ck_platform_connections_credentials_by_reference"
SCOPES = "ck_api_keys_scopes_known"


def upgrade() -> None:
    op.drop_constraint(SCOPES, "api_keys")
    op.create_check_constraint(
        op.f(SCOPES),
        "api_keys",
        "scopes <> '{}' AND scopes <@ ARRAY['spend-write', 'read', 'manage', 'credentials']",
    )
    op.drop_constraint(REFERENCES, "platform_connections")
    op.create_check_constraint(
        op.f(REFERENCES), "platform_connections", "credentials = 'kept' OR credentials ~ '^(env|file):.+'"
    )
    op.create_table(
        "platform_credentials",
        sa.Column("platform_account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("secrets", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("secrets LIKE 'gAAAA%'", name=op.f("ck_platform_credentials_encrypted")),
        sa.ForeignKeyConstraint(
            ["platform_account_id"],
            ["platform_connections.platform_account_id"],
            name=op.f("fk_platform_credentials_platform_connections"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("platform_account_id", name=op.f("pk_platform_credentials")),
    )


def downgrade() -> None:
    op.drop_table("platform_credentials")
    op.execute(
        "UPDATE platform_connections SET mode = 'off', credentials = 'env:REMOVED_BY_DOWNGRADE'"
        " WHERE credentials = 'kept'"
    )
    op.drop_constraint(REFERENCES, "platform_connections")
    op.create_check_constraint(op.f(REFERENCES), "platform_connections", "credentials ~ '^(env|file):.+'")
    op.execute("""
        UPDATE api_keys SET revoked_at = COALESCE(revoked_at, now()), scopes = '{read}'
        WHERE scopes = '{credentials}'
    """)
    op.execute("UPDATE api_keys SET scopes = array_remove(scopes, 'credentials') WHERE 'credentials' = ANY(scopes)")
    op.drop_constraint(SCOPES, "api_keys")
    op.create_check_constraint(
        op.f(SCOPES), "api_keys", "scopes <> '{}' AND scopes <@ ARRAY['spend-write', 'read', 'manage']"
    )
