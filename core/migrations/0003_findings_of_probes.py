from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("core", "0002_milestones_and_known_words")]

    operations = [
        migrations.AddField("endpoint", "findings", models.JSONField(blank=True, default=dict, editable=False)),
    ]
