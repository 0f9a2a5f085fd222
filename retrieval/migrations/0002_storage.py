"""Keep vectors in the row: an out-of-line vector costs an extra look-up per distance (pgvector, "Storage")."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("retrieval", "0001_initial")]

    operations = [
        migrations.RunSQL(
            "ALTER TABLE retrieval_chunkembedding ALTER COLUMN embedding SET STORAGE PLAIN",
            "ALTER TABLE retrieval_chunkembedding ALTER COLUMN embedding SET STORAGE EXTERNAL",
        ),
    ]
