"""What a deleted fact said stays in no stored request: the database erases the bodies that carried it."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION chat_erase_bodies_with_gone_facts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE chat_sentrequest sent SET body = NULL
    FROM chat_response response
    JOIN chat_turn turn ON turn.id = response.turn_id
    JOIN chat_conversation conversation ON conversation.id = turn.conversation_id
    WHERE sent.response_id = response.id AND sent.body IS NOT NULL
        AND (conversation.user_id, conversation.assistant_id) IN (SELECT user_id, assistant_id FROM past)
        AND EXISTS (
            SELECT FROM jsonb_path_query(sent.manifest, '$.facts[*].id') AS carried
            JOIN past ON past.id::text = carried #>> '{}'
        );
    RETURN NULL;
END $$;
CREATE TRIGGER chat_fact_gone AFTER DELETE ON chat_fact
    REFERENCING OLD TABLE AS past FOR EACH STATEMENT EXECUTE FUNCTION chat_erase_bodies_with_gone_facts();
"""

BACKWARD = """
DROP TRIGGER chat_fact_gone ON chat_fact;
DROP FUNCTION chat_erase_bodies_with_gone_facts();
"""


class Migration(migrations.Migration):
    dependencies = [("chat", "0012_summaries_of_what_is_gone")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
