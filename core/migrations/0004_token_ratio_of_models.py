from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("core", "0003_findings_of_probes")]

    operations = [
        migrations.AddField(
            "endpointmodel",
            "token_ratio",
            models.FloatField(
                default=1.0,
                # a process of the version before this one makes rows without it
                db_default=1.0,
                editable=False,
                help_text="Tokens that the server counts for each one that Parley counts.",
            ),
        ),
        migrations.AddField(
            "endpointmodel",
            "token_ratio_at",
            models.DateTimeField(null=True, blank=True, editable=False),
        ),
        migrations.AddConstraint(
            "endpointmodel",
            models.CheckConstraint(name="endpoint_model_token_ratio", condition=Q(token_ratio__range=(1.0, 4.0))),
        ),
    ]
