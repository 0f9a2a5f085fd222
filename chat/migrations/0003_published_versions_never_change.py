"""A published version never changes, whoever writes: the database refuses it."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION chat_published_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a published assistant version cannot be changed' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER chat_assistantversion_final BEFORE UPDATE ON chat_assistantversion
    FOR EACH ROW WHEN (
        OLD.published_at IS NOT NULL
        -- who published it may be forgotten with the person
        AND to_jsonb(OLD) - 'published_by_id' IS DISTINCT FROM to_jsonb(NEW) - 'published_by_id'
    ) EXECUTE FUNCTION chat_published_is_final();

CREATE FUNCTION chat_part_of_published_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    version uuid;
BEGIN
    -- only additions are refused: parts go with the version itself, and a deleted store leaves those that named it
    version := (to_jsonb(NEW) ->> TG_ARGV[0])::uuid;
    IF EXISTS (SELECT FROM chat_assistantversion WHERE id = version AND published_at IS NOT NULL) THEN
        RAISE EXCEPTION 'a published assistant version cannot be changed' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER chat_assistantversion_stores_final BEFORE INSERT OR UPDATE ON chat_assistantversion_stores
    FOR EACH ROW EXECUTE FUNCTION chat_part_of_published_is_final('assistantversion_id');
CREATE TRIGGER chat_fallbackmodel_final BEFORE INSERT OR UPDATE ON chat_fallbackmodel
    FOR EACH ROW EXECUTE FUNCTION chat_part_of_published_is_final('version_id');
"""

BACKWARD = """
DROP TRIGGER chat_fallbackmodel_final ON chat_fallbackmodel;
DROP TRIGGER chat_assistantversion_stores_final ON chat_assistantversion_stores;
DROP FUNCTION chat_part_of_published_is_final();
DROP TRIGGER chat_assistantversion_final ON chat_assistantversion;
DROP FUNCTION chat_published_is_final();
"""


class Migration(migrations.Migration):
    dependencies = [("chat", "0002_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
