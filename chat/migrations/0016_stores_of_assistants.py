"""Assistants have files of their own, which go with them."""

import django.db.models.deletion
from django.db import migrations, models

FORWARD = """
CREATE FUNCTION chat_delete_store_of_assistant() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE retrieval_vectorstore SET deleted_at = now()
    WHERE id = OLD.store_id AND kind = 'assistant' AND deleted_at IS NULL;
    RETURN NULL;
END $$;
CREATE TRIGGER chat_assistant_gone AFTER DELETE ON chat_assistant
    FOR EACH ROW WHEN (OLD.store_id IS NOT NULL) EXECUTE FUNCTION chat_delete_store_of_assistant();
"""

BACKWARD = """
DROP TRIGGER chat_assistant_gone ON chat_assistant;
DROP FUNCTION chat_delete_store_of_assistant();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("chat", "0015_bodies_with_gone_documents"),
        ("retrieval", "0014_stores_of_assistants"),
    ]

    operations = [
        migrations.AddField(
            model_name="assistant",
            name="store",
            field=models.OneToOneField(
                blank=True,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="assistant",
                to="retrieval.vectorstore",
            ),
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
