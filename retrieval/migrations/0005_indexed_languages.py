"""Keep the language that chunks are indexed in, and how many there are: search asks for both on every question."""

import django.core.validators
import django.db.models.deletion
from django.db import migrations, models

FILL = """
UPDATE retrieval_chunkweights weights SET language = document.language
FROM retrieval_chunk chunk JOIN retrieval_document document ON document.id = chunk.document_id
WHERE chunk.id = weights.chunk_id AND document.language <> '';
INSERT INTO retrieval_storelanguage (store_id, language, chunks)
SELECT store_id, language, count(*) FROM retrieval_chunkweights GROUP BY store_id, language;
"""


class Migration(migrations.Migration):
    dependencies = [("retrieval", "0004_deletable")]

    operations = [
        migrations.CreateModel(
            name="StoreLanguage",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("language", models.CharField(blank=True, default="", max_length=20)),
                ("chunks", models.PositiveIntegerField()),
                (
                    "store",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="languages",
                        to="retrieval.vectorstore",
                    ),
                ),
            ],
        ),
        migrations.AddConstraint(
            model_name="storelanguage",
            constraint=models.UniqueConstraint(fields=("store", "language"), name="store_language_once"),
        ),
        migrations.AddField(
            model_name="chunkweights",
            name="language",
            field=models.CharField(blank=True, default="", max_length=20),
        ),
        migrations.AlterField(
            model_name="vectorstore",
            name="dense_share",
            field=models.FloatField(
                blank=True,
                help_text=(
                    "Weight of meaning against words: 0 is words only, 1 is meaning only. Empty: what suits the model."
                ),
                null=True,
                validators=[
                    django.core.validators.MinValueValidator(0),
                    django.core.validators.MaxValueValidator(1),
                ],
            ),
        ),
        migrations.AddIndex(
            model_name="document",
            index=models.Index(
                condition=models.Q(("life", "live"), _negated=True), fields=["store"], name="document_leaving"
            ),
        ),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
    ]
