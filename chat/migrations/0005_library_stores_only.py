from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("chat", "0004_deletable_and_known_words"),
        ("retrieval", "0004_deletable"),
    ]

    operations = [
        migrations.AlterField(
            model_name="assistantversion",
            name="stores",
            field=models.ManyToManyField(
                blank=True,
                limit_choices_to={"kind": "library"},
                related_name="assistant_versions",
                to="retrieval.vectorstore",
            ),
        ),
    ]
