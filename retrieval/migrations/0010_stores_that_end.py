"""Stores that are offered, that expire and that are deleted in the background; files that nothing is made of any more go."""

import django.core.validators
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

# A file is asked about whenever a document of it goes: two that go at once each still see the other, the worker sees
# neither. In one order, so that two transactions never wait for each other's rows crosswise.
FORWARD = """
CREATE FUNCTION retrieval_ask_to_free_files() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO core_work (
        id, kind, subject, arguments, state, attempts, fence, run_after, error, created_at
    )
    SELECT gen_random_uuid(), 'retrieval.free', file_id, '{}', 'waiting', 0, 0, clock_timestamp(), '', clock_timestamp()
    FROM (SELECT DISTINCT file_id FROM past) AS files ORDER BY file_id
    ON CONFLICT (kind, subject) WHERE state = 'waiting' DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER retrieval_document_gone AFTER DELETE ON retrieval_document
    REFERENCING OLD TABLE AS past FOR EACH STATEMENT EXECUTE FUNCTION retrieval_ask_to_free_files();

CREATE FUNCTION retrieval_ask_to_remove_store() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO core_work (
        id, kind, subject, arguments, owner_id, state, attempts, fence, run_after, error, created_at
    ) VALUES (
        gen_random_uuid(), 'retrieval.remove_store', NEW.id, '{}', NEW.owner_id, 'waiting', 0, 0, clock_timestamp(), '',
        clock_timestamp()
    ) ON CONFLICT (kind, subject) WHERE state = 'waiting' DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER retrieval_vectorstore_deleted AFTER UPDATE OF deleted_at ON retrieval_vectorstore
    FOR EACH ROW WHEN (OLD.deleted_at IS NULL AND NEW.deleted_at IS NOT NULL)
    EXECUTE FUNCTION retrieval_ask_to_remove_store();
"""

BACKWARD = """
DROP TRIGGER retrieval_vectorstore_deleted ON retrieval_vectorstore;
DROP FUNCTION retrieval_ask_to_remove_store();
DROP TRIGGER retrieval_document_gone ON retrieval_document;
DROP FUNCTION retrieval_ask_to_free_files();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("core", "0007_invitations"),
        ("retrieval", "0009_pictures"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="vectorstore",
            name="offered_to",
            field=models.EmailField(
                blank=True,
                default="",
                editable=False,
                help_text="Whom its owner wants to give it to; they have not taken it yet.",
                max_length=254,
            ),
        ),
        migrations.RemoveConstraint(
            model_name="file",
            name="file_once_per_owner",
        ),
        migrations.AddField(
            model_name="vectorstore",
            name="deleted_at",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name="vectorstore",
            name="keep_days",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="It expires so many days after it was last searched or added to. Empty: at the date above, or never.",
                null=True,
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(3650),
                ],
            ),
        ),
        migrations.AlterField(
            model_name="file",
            name="owner",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="files",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AlterField(
            model_name="vectorstore",
            name="expires_at",
            field=models.DateTimeField(
                blank=True, help_text="From then on nothing searches it. It is deleted some days later.", null=True
            ),
        ),
        migrations.AddIndex(
            model_name="vectorstore",
            index=models.Index(
                condition=models.Q(("expires_at__isnull", False)), fields=["expires_at"], name="store_expiry"
            ),
        ),
        migrations.AddConstraint(
            model_name="file",
            constraint=models.UniqueConstraint(fields=("owner", "sha256"), name="file_once_per_owner"),
        ),
        migrations.AddConstraint(
            model_name="vectorstore",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("keep_days", None),
                    models.Q(("expires_at__isnull", False), ("keep_days__range", (1, 3650))),
                    _connector="OR",
                ),
                name="store_keep_days",
                violation_error_message="One that expires after its last use has a date at any time.",
            ),
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
