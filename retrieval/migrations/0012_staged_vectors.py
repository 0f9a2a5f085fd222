import django.db.models.deletion
import pgvector.django
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("core", "0006_weight_of_work"), ("retrieval", "0011_reindexing")]

    operations = [
        migrations.CreateModel(
            name="StagedVector",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("position", models.PositiveIntegerField()),
                ("digest", models.BigIntegerField()),
                ("embedding", pgvector.django.HalfVectorField()),
                (
                    "model",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="core.endpointmodel"
                    ),
                ),
                (
                    "revision",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="retrieval.revision"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("revision", "model", "position"), name="staged_vector_once")
                ],
            },
        ),
        # as the vectors of chunks are kept: see 0002
        migrations.RunSQL(
            "ALTER TABLE retrieval_stagedvector ALTER COLUMN embedding SET STORAGE PLAIN",
            migrations.RunSQL.noop,
        ),
    ]
