"""What a deleted or replaced document said stays in no stored request: the database erases the bodies that carried it.

A turn names the revisions that its passages are from. A request carries them with its question, or in the outputs of
tools: of its own turn, of the one that it continues, or of earlier ones. What a turn sends after the text is gone, since
it began before, is stored without its body.
"""

from django.db import migrations

FORWARD = """
CREATE INDEX chat_turn_passages ON chat_turn
    USING gin (jsonb_path_query_array(passages, '$[*].revision') jsonb_path_ops) WHERE passages <> '[]'::jsonb;

CREATE FUNCTION chat_erase_bodies_with_gone_texts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    WITH told AS (
        SELECT turn.id, turn.conversation_id, bool_or(jsonb_path_exists(
            turn.passages, '$[*] ? (@.revision == $text && exists(@.call))', jsonb_build_object('text', past.id)
        )) AS by_tool
        FROM past JOIN chat_turn turn ON turn.passages <> '[]'::jsonb
            AND jsonb_path_query_array(turn.passages, '$[*].revision') @> jsonb_build_array(past.id)
        GROUP BY turn.id, turn.conversation_id
    ), carried AS (
        SELECT sent.response_id
        FROM chat_turn turn
        JOIN chat_response response ON response.turn_id = turn.id
        JOIN chat_sentrequest sent ON sent.response_id = response.id
        WHERE turn.conversation_id IN (SELECT conversation_id FROM told) AND sent.body IS NOT NULL AND (
            turn.id IN (SELECT id FROM told)
            OR turn.continues_id IN (SELECT id FROM told)
            OR EXISTS (SELECT FROM told WHERE told.by_tool AND sent.manifest -> 'turns' ? told.id::text)
        )
    )
    UPDATE chat_sentrequest sent SET body = NULL,
        manifest = manifest || jsonb_build_object(
            'body', coalesce(manifest -> 'body', '{}'::jsonb) || '{"erased": "document"}'::jsonb
        )
    FROM carried WHERE sent.response_id = carried.response_id;
    RETURN NULL;
END $$;
CREATE TRIGGER chat_text_gone AFTER DELETE ON retrieval_revision
    REFERENCING OLD TABLE AS past FOR EACH STATEMENT EXECUTE FUNCTION chat_erase_bodies_with_gone_texts();

CREATE FUNCTION chat_keep_no_body_with_gone_texts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM chat_response response JOIN chat_turn turn ON turn.id = response.turn_id
        CROSS JOIN LATERAL jsonb_array_elements(turn.passages) AS passage
        LEFT JOIN retrieval_revision revision ON revision.id = (passage ->> 'revision')::uuid
        WHERE response.id = NEW.response_id AND revision.id IS NULL
    ) THEN
        NEW.body := NULL;
        NEW.manifest := NEW.manifest || jsonb_build_object(
            'body', coalesce(NEW.manifest -> 'body', '{}'::jsonb) || '{"erased": "document"}'::jsonb
        );
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER chat_text_was_gone BEFORE INSERT ON chat_sentrequest
    FOR EACH ROW EXECUTE FUNCTION chat_keep_no_body_with_gone_texts();
"""

BACKWARD = """
DROP TRIGGER chat_text_was_gone ON chat_sentrequest;
DROP FUNCTION chat_keep_no_body_with_gone_texts();
DROP TRIGGER chat_text_gone ON retrieval_revision;
DROP FUNCTION chat_erase_bodies_with_gone_texts();
DROP INDEX chat_turn_passages;
"""


class Migration(migrations.Migration):
    dependencies = [("chat", "0014_stores_of_gone_conversations")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
