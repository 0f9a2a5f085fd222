import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("chat", "0003_published_versions_never_change"),
        ("retrieval", "0002_storage"),
        ("tools", "0002_audit"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterField(
            model_name="assistant",
            name="published_version",
            field=models.ForeignKey(
                blank=True,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.RESTRICT,
                related_name="+",
                to="chat.assistantversion",
            ),
        ),
        migrations.AlterField(
            model_name="turn",
            name="input_item",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.RESTRICT,
                related_name="answered_by",
                to="chat.item",
            ),
        ),
        migrations.AddConstraint(
            model_name="conversation",
            constraint=models.CheckConstraint(
                condition=models.Q(("title_source__in", ["first_words", "model", "person"])),
                name="conversation_title_source_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="item",
            constraint=models.CheckConstraint(
                condition=models.Q(("role__in", ["", "user", "assistant", "system", "developer"])),
                name="item_role_known",
            ),
        ),
    ]
