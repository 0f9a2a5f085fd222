"""Another embedding model or other chunks for a whole store, while it answers on; and a rule for whoever switches.

Chunks get an index that gives a store's in order, in place of the one by store alone.
"""

import uuid

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

# What documents in use were made with is not known; so far stores kept what they began with.
FILL = """
UPDATE retrieval_document document SET chunk_tokens = store.chunk_tokens, chunk_overlap = store.chunk_overlap
FROM retrieval_vectorstore store WHERE store.id = document.store_id AND document.revision_id IS NOT NULL
"""

FORWARD = """
CREATE FUNCTION retrieval_store_has_vectors() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM retrieval_chunk chunk
        WHERE chunk.store_id = NEW.id AND NOT EXISTS (
            SELECT FROM retrieval_chunkembedding vector
            WHERE vector.chunk_id = chunk.id AND vector.model_id = NEW.embedding_model_id
        )
    ) THEN
        RAISE EXCEPTION 'a store takes another embedding model when every chunk has a vector of it'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER retrieval_vectorstore_searched BEFORE UPDATE OF embedding_model_id ON retrieval_vectorstore
    FOR EACH ROW WHEN (NEW.embedding_model_id <> OLD.embedding_model_id)
    EXECUTE FUNCTION retrieval_store_has_vectors();
"""

BACKWARD = """
DROP TRIGGER retrieval_vectorstore_searched ON retrieval_vectorstore;
DROP FUNCTION retrieval_store_has_vectors();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("core", "0007_invitations"),
        ("retrieval", "0010_stores_that_end"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Reindexing",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                (
                    "kind",
                    models.CharField(
                        choices=[("model", "Another embedding model"), ("chunking", "Chunks of another size")],
                        max_length=10,
                    ),
                ),
                ("chunk_tokens", models.PositiveIntegerField(blank=True, null=True)),
                ("chunk_overlap", models.PositiveIntegerField(blank=True, null=True)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("planned", "Waiting"),
                            ("running", "Indexing"),
                            ("switching", "Switched, clearing up"),
                            ("done", "Done"),
                            ("failed", "Failed"),
                            ("cancelled", "Cancelled"),
                        ],
                        default="planned",
                        max_length=10,
                    ),
                ),
                ("error_code", models.CharField(blank=True, default="", max_length=50)),
                ("error_message", models.CharField(blank=True, default="", max_length=500)),
                (
                    "retries",
                    models.PositiveSmallIntegerField(default=0, help_text="Tries since the last that went well."),
                ),
                (
                    "strides",
                    models.PositiveSmallIntegerField(default=0, help_text="Begun since the last that came to an end."),
                ),
                ("done", models.PositiveIntegerField(default=0)),
                ("total", models.PositiveIntegerField(default=0)),
                ("tokens", models.PositiveBigIntegerField(default=0)),
                ("price", models.DecimalField(blank=True, decimal_places=6, max_digits=12, null=True)),
                ("seconds", models.FloatField(default=0.0)),
                ("after", models.PositiveBigIntegerField(default=0)),
                ("switched_in", models.BigIntegerField(blank=True, null=True)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("due_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "served_at",
                    models.DateTimeField(
                        default=django.utils.timezone.now, help_text="The store served longest ago is next."
                    ),
                ),
                ("started_at", models.DateTimeField(blank=True, null=True)),
                ("switched_at", models.DateTimeField(blank=True, null=True)),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "ordering": ["-created_at", "id"],
            },
        ),
        migrations.AddField(
            model_name="document",
            name="chunk_overlap",
            field=models.PositiveIntegerField(db_default=0, default=0, editable=False),
        ),
        migrations.AddField(
            model_name="document",
            name="chunk_tokens",
            field=models.PositiveIntegerField(db_default=0, default=0, editable=False),
        ),
        migrations.AlterField(
            model_name="chunk",
            name="store",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="chunks",
                to="retrieval.vectorstore",
            ),
        ),
        migrations.AddIndex(
            model_name="chunk",
            index=models.Index(fields=["store", "id"], name="chunk_of_store"),
        ),
        migrations.AddField(
            model_name="reindexing",
            name="from_model",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="+", to="core.endpointmodel"
            ),
        ),
        migrations.AddField(
            model_name="reindexing",
            name="requested_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="reindexing",
            name="store",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="reindexings", to="retrieval.vectorstore"
            ),
        ),
        migrations.AddField(
            model_name="reindexing",
            name="to_model",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="+", to="core.endpointmodel"
            ),
        ),
        migrations.AddIndex(
            model_name="reindexing",
            index=models.Index(
                condition=models.Q(("state__in", ["planned", "running", "switching"])),
                fields=["to_model", "due_at"],
                name="reindexing_working",
            ),
        ),
        migrations.AddIndex(
            model_name="reindexing",
            index=models.Index(
                condition=models.Q(("state", "switching")), fields=["store"], name="reindexing_switching"
            ),
        ),
        migrations.AddConstraint(
            model_name="reindexing",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state__in", ["planned", "running", "switching", "failed"])),
                fields=("store",),
                name="reindexing_one_open",
            ),
        ),
        migrations.AddConstraint(
            model_name="reindexing",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["planned", "running", "switching", "done", "failed", "cancelled"])),
                name="reindexing_state_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="reindexing",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("chunk_overlap", None),
                        ("chunk_tokens", None),
                        ("kind", "model"),
                        models.Q(("from_model", models.F("to_model")), _negated=True),
                    ),
                    models.Q(
                        ("chunk_overlap__isnull", False),
                        ("chunk_overlap__lt", models.F("chunk_tokens")),
                        ("chunk_tokens__gte", 32),
                        ("chunk_tokens__isnull", False),
                        ("from_model", models.F("to_model")),
                        ("kind", "chunking"),
                    ),
                    _connector="OR",
                ),
                name="reindexing_kind",
            ),
        ),
        migrations.AddConstraint(
            model_name="reindexing",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("error_code__gt", ""), ("error_message__gt", ""), ("state", "failed")),
                    models.Q(models.Q(("state", "failed"), _negated=True), ("error_code", "")),
                    _connector="OR",
                ),
                name="reindexing_failed_has_reason",
            ),
        ),
        migrations.AddConstraint(
            model_name="reindexing",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state", "switching"), _negated=True),
                    models.Q(("kind", "model"), ("switched_at__isnull", False), ("switched_in__isnull", False)),
                    _connector="OR",
                ),
                name="reindexing_switched",
            ),
        ),
        migrations.AddConstraint(
            model_name="reindexing",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("finished_at__isnull", False), ("state__in", ["done", "cancelled"])),
                    models.Q(models.Q(("state__in", ["done", "cancelled"]), _negated=True), ("finished_at", None)),
                    _connector="OR",
                ),
                name="reindexing_finished",
            ),
        ),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
