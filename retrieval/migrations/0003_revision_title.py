from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("retrieval", "0002_storage")]

    operations = [
        migrations.AddField(
            model_name="revision",
            name="title",
            field=models.CharField(blank=True, default="", help_text="As the file itself says it.", max_length=200),
        ),
    ]
