"""Expired sessions go, and owners are made, by functions of the tables' owner alone"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

# The server's clock has the last word, so that nobody ends a session by a moment of their own.
FORGET_EXPIRED = """
CREATE FUNCTION forget_expired(at timestamptz) RETURNS void LANGUAGE sql {definer} AS $$
    DELETE FROM user_sessions WHERE expires_at <= least(at, now());
    DELETE FROM idempotency_keys WHERE created_at <= least(at, now()) - interval '24 hours';
$$
"""

# The change and its audit entry are one, so that no owner is made without a trace.
MAKE_OWNER = """
CREATE FUNCTION make_owner(of_user bigint, made_by text, made_at timestamptz, as_action text) RETURNS void
LANGUAGE plpgsql {definer} AS $$
DECLARE
    old users;
    facts jsonb;
BEGIN
    IF as_action IS NULL OR as_action NOT IN ('create', 'edit') OR COALESCE(made_by, '') = '' THEN
        RAISE EXCEPTION 'an owner is made by somebody, by create or edit' USING ERRCODE = '22023';
    END IF;
    SELECT * INTO STRICT old FROM users WHERE id = of_user FOR UPDATE;
    UPDATE users SET role = 'owner', disabled_at = NULL WHERE id = of_user;
    IF as_action = 'edit' THEN
        facts := jsonb_build_object(
            'id', old.id, 'email', old.email, 'role', old.role, 'disabled', old.disabled_at IS NOT NULL
        );
    END IF;
    INSERT INTO audit_entries (changed_at, changed_by, action, subject, subject_id, old, new) VALUES (
        made_at, made_by, as_action, 'user', of_user, facts,
        COALESCE(facts || '{{"disabled": false}}', jsonb_build_object('email', old.email)) || '{{"role": "owner"}}'
    );
END $$
"""

REFUSE_OWNER = """
CREATE FUNCTION refuse_owner_but_by_make_owner() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.role = 'owner' AND NEW.disabled_at IS NULL
        AND (TG_OP = 'INSERT' OR OLD.role <> 'owner' OR OLD.disabled_at IS NOT NULL)
        AND NOT (SELECT pg_has_role(current_user, relowner, 'MEMBER') FROM pg_class WHERE oid = TG_RELID)
    THEN
        RAISE EXCEPTION 'owners are made by make_owner() alone' USING ERRCODE = '42501';
    END IF;
    RETURN NEW;
END $$
"""

TRIGGER = """
CREATE TRIGGER refuse_owner BEFORE INSERT OR UPDATE ON users
FOR EACH ROW EXECUTE FUNCTION refuse_owner_but_by_make_owner()
"""

FUNCTIONS = ("forget_expired(timestamptz)", "make_owner(bigint, text, timestamptz, text)")


def as_owner() -> str:
    """Runs as the function's owner, with the schema that we migrate as the only place of names."""
    schema = op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())"))
    return f"SECURITY DEFINER SET search_path = {schema}, pg_temp"


def upgrade() -> None:
    op.execute(FORGET_EXPIRED.format(definer=as_owner()))
    op.execute(MAKE_OWNER.format(definer=as_owner()))
    for function in FUNCTIONS:
        op.execute(f"REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC")
    op.execute(REFUSE_OWNER)
    op.execute(TRIGGER)


def downgrade() -> None:
    op.execute("DROP TRIGGER refuse_owner ON users")
    op.execute("DROP FUNCTION refuse_owner_but_by_make_owner()")
    for function in FUNCTIONS:
        op.execute(f"DROP FUNCTION {function}")
