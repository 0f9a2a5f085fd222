"""How much people may keep."""

import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("retrieval", "0005_indexed_languages"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Quota",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                (
                    "everyone",
                    models.BooleanField(
                        default=False, help_text="For whom neither a row of their own nor one of their groups is there."
                    ),
                ),
                (
                    "files",
                    models.PositiveBigIntegerField(
                        blank=True, help_text="Different files. Empty: no limit.", null=True
                    ),
                ),
                (
                    "size",
                    models.PositiveBigIntegerField(
                        blank=True, help_text="Empty: no limit.", null=True, verbose_name="bytes"
                    ),
                ),
                (
                    "tokens",
                    models.PositiveBigIntegerField(
                        blank=True,
                        help_text="In the chunks of the documents they uploaded. Empty: no limit.",
                        null=True,
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "group",
                    models.OneToOneField(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="quota",
                        to="auth.group",
                    ),
                ),
                (
                    "user",
                    models.OneToOneField(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="quota",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("everyone", False), ("group__isnull", True), ("user__isnull", False)),
                            models.Q(("everyone", False), ("group__isnull", False), ("user__isnull", True)),
                            models.Q(("everyone", True), ("group__isnull", True), ("user__isnull", True)),
                            _connector="OR",
                        ),
                        name="quota_one_subject",
                        violation_error_message="Choose a user, a group, or everyone: exactly one of them.",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("everyone", True)), fields=("everyone",), name="quota_everyone_once"
                    ),
                ],
            },
        ),
    ]
