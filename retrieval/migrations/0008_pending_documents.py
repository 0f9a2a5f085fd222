"""Documents that are read to take the place of others; attributes are an object."""

import django.db.models.lookups
from django.db import migrations, models

OBJECTS = "UPDATE retrieval_document SET attributes = '{}' WHERE jsonb_typeof(attributes) <> 'object'"


class Migration(migrations.Migration):
    dependencies = [
        ("retrieval", "0007_uploads_in_parts"),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="document",
            name="document_life_known",
        ),
        migrations.AddField(
            model_name="document",
            name="notice",
            field=models.CharField(
                blank=True, default="", help_text="What becomes of what is to take its place.", max_length=1000
            ),
        ),
        migrations.AddField(
            model_name="document",
            name="notice_kind",
            field=models.CharField(
                blank=True,
                choices=[
                    ("", "Nothing"),
                    ("running", "Being read"),
                    ("failed", "Failed"),
                    ("retryable", "Failed; another try may help"),
                ],
                default="",
                max_length=10,
            ),
        ),
        migrations.AlterField(
            model_name="document",
            name="life",
            field=models.CharField(
                choices=[
                    ("pending", "Not yet in use"),
                    ("live", "In use"),
                    ("replaced", "Replaced"),
                    ("deleting", "Being deleted"),
                ],
                default="live",
                max_length=10,
            ),
        ),
        migrations.AddConstraint(
            model_name="document",
            constraint=models.CheckConstraint(
                condition=models.Q(("life__in", ["pending", "live", "replaced", "deleting"])),
                name="document_life_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="document",
            constraint=models.UniqueConstraint(
                condition=models.Q(("life", "pending")), fields=("replaces",), name="document_pending_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="document",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("notice", ""), ("notice_kind", "")),
                    models.Q(
                        ("notice_kind__in", ["running", "failed", "retryable"]), models.Q(("notice", ""), _negated=True)
                    ),
                    _connector="OR",
                ),
                name="document_notice_of_a_kind",
            ),
        ),
        migrations.RunSQL(OBJECTS, migrations.RunSQL.noop),
        migrations.AddConstraint(
            model_name="document",
            constraint=models.CheckConstraint(
                condition=django.db.models.lookups.Exact(
                    models.Func("attributes", function="jsonb_typeof", output_field=models.TextField()), "object"
                ),
                name="document_attributes_object",
            ),
        ),
    ]
