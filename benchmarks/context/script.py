"""What the person says: a fact in turn 3, a question about it in turn 150, and plain talk in between."""

from tests.upstream.prose import prose, question

PLANTED_TURN = 3
PROBE_TURN = 150
PLANTED = "boat Halcyon lies at berth 47 of the north pier"
PROBE = "At which berth of the north pier does my boat Halcyon lie?"

# As long as those of assistants usually are: some 170 tokens.
INSTRUCTIONS = """\
You help the members of an allotment society to plan, to build and to repair. Answer in the language of the question, in
plain words and whole sentences, in one or two paragraphs. Name sums in euros and lengths in metres. Where something was
agreed earlier in the conversation, keep to it and say so. Where two members want different things, name both wishes and
what speaks for each. Do not guess prices: say what is known and what would have to be asked. Warn where work needs a
permit, where it is dangerous, and where it should not be done alone. When a list is clearer than prose, write a short
list. Do not repeat the question. Ask back when a decision cannot be taken without an answer, but ask one thing at a
time. Never write about members who are not named by the person you talk to."""


def message(number: int) -> str:
    """The person's message of a turn, counted from 1; the same in every run."""
    if number == PLANTED_TURN:
        return f"Please remember that my {PLANTED}. {question('planted')}"
    if number == PROBE_TURN:
        return PROBE
    return f"{prose(f'person {number}', 2)} {question(f'person {number}')}"
