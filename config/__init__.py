"""The composition root: settings, entry points, and where tools and providers are registered."""

from config.celery import app as celery_app

__all__ = ["celery_app"]
