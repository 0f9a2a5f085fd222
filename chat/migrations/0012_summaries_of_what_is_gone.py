"""No summary outlives what it summarises: where a message goes or is written over, the database drops them."""

from django.db import migrations

# An answer that goes on has its beginning in a sibling, and one message may be answered by several turns.
DROP = """
    , below (id) AS (
        SELECT turn_id FROM gone
        UNION
        SELECT turn.id FROM chat_turn turn JOIN gone ON turn.input_item_id = gone.id
        UNION
        SELECT turn.id FROM chat_turn turn JOIN below ON turn.parent_id = below.id OR turn.continues_id = below.id
    )
    SELECT array_agg(summary.id) INTO dropped FROM chat_summary summary JOIN below ON summary.turn_id = below.id;
    UPDATE chat_summary SET previous_id = NULL WHERE previous_id = ANY(dropped) AND id <> ALL(dropped);
    DELETE FROM chat_summary WHERE id = ANY(dropped);
    RETURN NULL;
"""

FORWARD = f"""
CREATE FUNCTION chat_drop_summaries_of_gone() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    dropped uuid[];
BEGIN
    WITH RECURSIVE gone AS (SELECT id, turn_id FROM past) {DROP}
END $$;
CREATE FUNCTION chat_drop_summaries_of_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    dropped uuid[];
BEGIN
    WITH RECURSIVE gone AS (
        SELECT id, past.turn_id FROM past JOIN present USING (id)
        WHERE past.text <> present.text OR past.payload <> present.payload
    ) {DROP}
END $$;
CREATE TRIGGER chat_item_gone AFTER DELETE ON chat_item
    REFERENCING OLD TABLE AS past FOR EACH STATEMENT EXECUTE FUNCTION chat_drop_summaries_of_gone();
CREATE TRIGGER chat_item_changed AFTER UPDATE ON chat_item
    REFERENCING OLD TABLE AS past NEW TABLE AS present
    FOR EACH STATEMENT EXECUTE FUNCTION chat_drop_summaries_of_changed();
"""  # noqa: S608 - both parts are ours

BACKWARD = """
DROP TRIGGER chat_item_changed ON chat_item;
DROP TRIGGER chat_item_gone ON chat_item;
DROP FUNCTION chat_drop_summaries_of_changed();
DROP FUNCTION chat_drop_summaries_of_gone();
"""


class Migration(migrations.Migration):
    dependencies = [("chat", "0011_questions_put_by_models")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
