"""Plain text that goes on and is never twice the same: sentences with names, sums and dates, made from a seed."""

from random import Random

_PEOPLE = ("Ilse Brandt", "Tomas Vega", "Noor Haddad", "Piet de Wit", "Ana Lima", "Jonas Keller", "Mira Okafor")
_THINGS = ("gravel", "timber", "roof felt", "seed potatoes", "drain pipe", "fence wire", "lamp oil", "quarry stone")
_WORKS = ("mended", "painted", "measured", "cleared", "rebuilt", "weighed", "inspected", "sold")
_PARTS = ("greenhouse", "tool shed", "well cover", "compost bay", "east gate", "water tank", "glass frame", "orchard")
_WHY = (
    "because the frost had lifted it",
    "although nobody had asked for that",
    "after the meeting of the committee",
    "before the heavy rain came",
    "while the others were still at lunch",
    "since the old one leaked",
)
_TURNS = (
    "{who} {did} the {part} {why}.",
    "The {thing} for the {part} costs {sum} euros, {why}.",
    "On {day} {month} {who} bought {many} bags of {thing} for {sum} euros.",
    "The {part} is {many} metres long and needs {sum} litres of paint.",
    "It took {many} people a whole morning to carry the {thing} to the {part}.",
    "{who} thinks that the {thing} will last until {month}, {why}.",
)
_ASKED = (
    "How shall we go on with the {part}?",
    "What would you do about the {thing} next?",
    "Is it wise to leave the {part} as it is until {month}?",
    "Who should look after the {thing} now?",
)
_MONTHS = ("January", "March", "May", "June", "August", "October", "November")


def prose(seed: str, sentences: int) -> str:
    """So many sentences; the same seed gives the same ones in every process."""
    chance = Random(seed)  # noqa: S311 - not a secret
    return " ".join(_said(chance, chance.choice(_TURNS)) for _ in range(sentences))


def question(seed: str) -> str:
    return _said(Random(seed), Random(f"{seed}?").choice(_ASKED))  # noqa: S311


def _said(chance: Random, form: str) -> str:
    return form.format(
        who=chance.choice(_PEOPLE),
        did=chance.choice(_WORKS),
        part=chance.choice(_PARTS),
        thing=chance.choice(_THINGS),
        why=chance.choice(_WHY),
        month=chance.choice(_MONTHS),
        day=chance.randint(1, 28),
        many=chance.randint(2, 40),
        sum=f"{chance.randint(2, 900)}.{chance.randint(10, 99)}",
    )
