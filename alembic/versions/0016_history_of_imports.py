"""History of imported files with what each changed, skipped rows, settled readings, uploads; problems of spend files"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("reported_totals", sa.Column("previous_as_of", sa.DateTime(timezone=True), nullable=True))
    op.add_column("spend_files", sa.Column("imported_sha256", sa.Text(), nullable=True))
    op.add_column("spend_files", sa.Column("problem", sa.Text(), nullable=True))
    op.add_column("spend_files", sa.Column("problem_version", sa.Text(), nullable=True))
    op.add_column("spend_files", sa.Column("problem_since", sa.DateTime(timezone=True), nullable=True))
    _make_imports()
    _make_parts_of_imports()
    op.create_table(
        "import_mappings",
        sa.Column("layout", sa.Text(), nullable=False),
        sa.Column("settled", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("settled_by", sa.Text(), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("layout", name=op.f("pk_import_mappings")),
    )
    op.create_table(
        "import_uploads",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("modified_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("uploaded_by", sa.Text(), nullable=False),
        sa.Column("uploaded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_import_uploads")),
    )
    op.create_index("ix_import_uploads_uploaded_at", "import_uploads", ["uploaded_at"])


def _make_imports() -> None:
    numbers = ("rows", "campaign_days", "taken", "nothing_new", "rejected", "skipped_rows")
    op.create_table(
        "imports",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=True),
        sa.Column("brand_ids", postgresql.ARRAY(sa.BigInteger()), server_default="{}", nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("layout", sa.Text(), nullable=False),
        sa.Column("options", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.Column("imported_by", sa.Text(), nullable=False),
        sa.Column("imported_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("as_of", sa.DateTime(timezone=True), nullable=False),
        *(sa.Column(name, sa.BigInteger(), server_default="0", nullable=False) for name in numbers),
        sa.Column("first_day", sa.Date(), nullable=True),
        sa.Column("last_day", sa.Date(), nullable=True),
        sa.Column("sum_micros", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.Column("campaigns_made", sa.Integer(), server_default="0", nullable=False),
        sa.Column("status", sa.Text(), server_default="running", nullable=False),
        sa.Column("undone_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("undone_by", sa.Text(), nullable=True),
        sa.CheckConstraint("status IN ('running', 'partial', 'done', 'undone')", name=op.f("ck_imports_status_known")),
        sa.CheckConstraint(
            "(status = 'undone') = (undone_at IS NOT NULL)", name=op.f("ck_imports_undone_at_with_status")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_imports")),
    )
    op.create_index("ix_imports_sha256", "imports", ["sha256"])
    op.create_index("ix_imports_account", "imports", ["account"])


def _make_parts_of_imports() -> None:
    op.create_table(
        "import_days",
        sa.Column("brand_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("campaign_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("import_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("before_micros", sa.BigInteger(), nullable=True),
        sa.Column("before_as_of", sa.DateTime(timezone=True), nullable=True),
        sa.Column("after_micros", sa.BigInteger(), nullable=False),
        sa.Column("as_of", sa.DateTime(timezone=True), nullable=False),
        sa.Column("undone_as_of", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["brand_id", "campaign_id"],
            ["campaigns.brand_id", "campaigns.id"],
            name="fk_import_days_campaigns",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["import_id"], ["imports.id"], name=op.f("fk_import_days_imports"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("brand_id", "campaign_id", "day", "import_id", name=op.f("pk_import_days")),
    )
    op.create_index("ix_import_days_import_id", "import_days", ["import_id"])
    op.create_table(
        "import_skipped_rows",
        sa.Column("import_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("place", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("line", sa.BigInteger(), nullable=False),
        sa.Column("cell", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["import_id"], ["imports.id"], name=op.f("fk_import_skipped_rows_imports"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("import_id", "place", name=op.f("pk_import_skipped_rows")),
    )


def downgrade() -> None:
    for table in ("import_uploads", "import_mappings", "import_skipped_rows", "import_days", "imports"):
        op.drop_table(table)
    for column in ("problem_since", "problem_version", "problem", "imported_sha256"):
        op.drop_column("spend_files", column)
    op.drop_column("reported_totals", "previous_as_of")
