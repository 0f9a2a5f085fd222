import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("core", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="Milestone",
            fields=[
                ("name", models.CharField(max_length=100, primary_key=True, serialize=False)),
                ("details", models.JSONField(blank=True, default=dict)),
                ("reached_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
        ),
        migrations.AddConstraint(
            model_name="endpoint",
            constraint=models.CheckConstraint(
                condition=models.Q(("provider__in", ["openai", "extractive", "hashing"])),
                name="endpoint_provider_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="endpoint",
            constraint=models.CheckConstraint(
                condition=models.Q(("source__in", ["admin", "environment", "built_in"])), name="endpoint_source_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="endpointmodel",
            constraint=models.CheckConstraint(
                condition=models.Q(("purpose__in", ["chat", "embedding"])), name="endpoint_model_purpose_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="work",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["waiting", "running", "failed"])), name="work_state_known"
            ),
        ),
    ]
