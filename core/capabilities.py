"""What a server may be able to do, by name: the entries of an endpoint's record, for people and for the adapter."""

from collections.abc import Mapping

RESUME = "resume"

CAPABILITIES: Mapping[str, str] = {
    "store": "Keeps a response under its id",
    "previous_response_id": "Goes on from a response that it keeps",
    "conversation": "Keeps conversations",
    "background": "Generates without a connection",
    "starting_after": "Streams again from a given event on",
    RESUME: "Take lost answers up again. The server then keeps every answer for a while; it has to be able to do "
    "store, background and starting_after",
    "include": "Gives reasoning in sealed form",
    "reasoning": "Takes settings of reasoning",
    "tools": "Calls tools",
    "tool_choice": "Can be told which tool to call",
    "parallel_tool_calls": "Calls several tools at once",
    "json_schema": "Answers in a given schema",
    "verbosity": "Takes a wish for long or short answers",
    "truncation": "Shortens a long input itself",
    "input_image": "Sees pictures",
    "input_file": "Reads files",
    "metadata": "Takes metadata",
    "safety_identifier": "Takes an identifier against abuse",
    "prompt_cache_key": "Takes a key for its cache",
    "service_tier": "Offers service tiers",
    "stream_options": "Takes options of the stream",
    "idempotency_key": "Takes a key against doing things twice",
}
"""The names in use, with what each means."""

BY_HAND = frozenset({"conversation", "stream_options"})
"""Those that no probe asks for: nothing is sent for the one, and no answer shows what the other does."""
