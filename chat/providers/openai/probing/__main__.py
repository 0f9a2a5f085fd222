"""`python -m chat.providers.openai.probing --base-url … --model …`."""

import sys

from chat.providers.openai.probing.command import main

sys.exit(main())
