"""What was dropped into a conversation goes with it, whoever deletes it: its store is marked, a worker removes the rest."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION chat_delete_store_of_conversation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE retrieval_vectorstore SET deleted_at = now()
    WHERE id = OLD.store_id AND kind = 'conversation' AND deleted_at IS NULL;
    RETURN NULL;
END $$;
CREATE TRIGGER chat_conversation_gone AFTER DELETE ON chat_conversation
    FOR EACH ROW WHEN (OLD.store_id IS NOT NULL) EXECUTE FUNCTION chat_delete_store_of_conversation();
CREATE TRIGGER chat_conversation_deleted AFTER UPDATE OF deleted_at ON chat_conversation
    FOR EACH ROW WHEN (OLD.store_id IS NOT NULL AND OLD.deleted_at IS NULL AND NEW.deleted_at IS NOT NULL)
    EXECUTE FUNCTION chat_delete_store_of_conversation();
"""

BACKWARD = """
DROP TRIGGER chat_conversation_deleted ON chat_conversation;
DROP TRIGGER chat_conversation_gone ON chat_conversation;
DROP FUNCTION chat_delete_store_of_conversation();
"""


class Migration(migrations.Migration):
    dependencies = [("chat", "0013_bodies_with_what_is_gone"), ("retrieval", "0010_stores_that_end")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
