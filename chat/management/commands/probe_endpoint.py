"""`manage.py probe_endpoint`: asks a live server what it can do, and writes it into its endpoint's record."""

import os
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from chat.providers.openai.probing.command import API_KEY, add_arguments, run
from chat.services.probing import endpoint_at, make_endpoint, save_report
from core.errors import ConflictError


class Command(BaseCommand):
    help = f"Asks a live Responses server what it can do. The key comes from {API_KEY} in the environment."

    def add_arguments(self, parser: CommandParser) -> None:
        add_arguments(parser)
        parser.add_argument("--save", metavar="NAME", help="make an endpoint of this name where none has the address")

    def handle(self, *_args: Any, **options: Any) -> None:
        base_url: str = options["base_url"].rstrip("/")
        json_file: Path | None = options["json"]
        report = run(base_url=base_url, model=options["model"], json_file=json_file, seconds=options["seconds"])
        self.stdout.write(report.table())
        endpoint = endpoint_at(base_url)
        if endpoint is None and options["save"]:
            key = os.environ.get(API_KEY, "")
            try:
                endpoint = make_endpoint(name=options["save"], base_url=base_url, api_key=key, model=options["model"])
            except ConflictError as error:
                raise CommandError(error.message) from error
        if endpoint is None:
            self.stdout.write("No endpoint has this address, so nothing is stored; --save NAME makes one.")
        else:
            save_report(report, endpoint=endpoint.pk)
            self.stdout.write(f"Stored with the endpoint {endpoint.name}.")
        if not report.is_usable:
            raise CommandError("The server gives no streamed text that ends.")
