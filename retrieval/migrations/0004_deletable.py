import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("retrieval", "0003_revision_title"),
    ]

    operations = [
        migrations.AlterField(
            model_name="document",
            name="file",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.RESTRICT, related_name="documents", to="retrieval.file"
            ),
        ),
        migrations.AlterField(
            model_name="document",
            name="revision",
            field=models.OneToOneField(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.RESTRICT,
                related_name="current_for",
                to="retrieval.revision",
            ),
        ),
    ]
