"""Make the audit append-only: a finished call never changes, and the application's role deletes nothing."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION tools_toolcall_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a finished tool call cannot be changed' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER tools_toolcall_final BEFORE UPDATE ON tools_toolcall
    FOR EACH ROW WHEN (OLD.finished_at IS NOT NULL) EXECUTE FUNCTION tools_toolcall_is_final();

-- privileges can come back by a restore; the trigger comes with the table
CREATE FUNCTION tools_toolcall_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_user = 'parley_app' THEN
        RAISE EXCEPTION 'the audit of tool calls is kept' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER tools_toolcall_kept BEFORE DELETE ON tools_toolcall
    FOR EACH ROW EXECUTE FUNCTION tools_toolcall_is_kept();

DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'parley_app') THEN
        REVOKE DELETE, TRUNCATE ON tools_toolcall FROM parley_app;
    END IF;
END $$;
"""

BACKWARD = """
DROP TRIGGER tools_toolcall_kept ON tools_toolcall;
DROP FUNCTION tools_toolcall_is_kept();
DROP TRIGGER tools_toolcall_final ON tools_toolcall;
DROP FUNCTION tools_toolcall_is_final();
"""


class Migration(migrations.Migration):
    dependencies = [("tools", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
