from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("core", "0005_access_tokens")]

    operations = [
        migrations.AddField(
            "work",
            "weight",
            # a process of the version before this one makes rows without it
            models.PositiveBigIntegerField(default=0, db_default=0, help_text="The room it takes in a group."),
        ),
    ]
