"""What a model's text says that its sources do not: numbers, quotations and names, in several languages and scripts."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.services.grounding import unfounded

ENGLISH = """Please plan a trip for Maria Lopez to Berlin on 17 May 2024. The budget is 1,500 euros; three people come
along, and two million live there. She said "I hate early trains".
Booked ICE 577 at 10:30 for 89.90. Dr. Novak of the European Space Agency joins them in Halle. PostgreSQL 16.2 runs the
portal, with 3,141,592 rows."""
GERMAN = """Ich plane für Frau Schneider einen Umzug nach Köln. Der Vertrag mit der Firma Nordwind läuft bis zum
31.12.2025 und kostet 1.250,50 Euro im Monat; Petra Albrecht hat ihn geschrieben. Sie sagte: „Die Miete ist zu hoch.“
Wir brauchen noch drei Angebote von Speditionen. Der Termin ist am 3. Juni um 9.30 Uhr in der Hauptstraße 12."""
FRENCH = """Je voudrais réserver une salle à Lyon pour Claire Dubois le 5 mars. Le prix est de 2 400 € pour 25
personnes, soit 96 € chacune. Elle a dit : « pas de vin rouge ». Le traiteur Mirabelle peut livrer
à 19 h 30 dans la salle."""
RUSSIAN = """Я хочу поехать в Москву с Анной Петровой в июне. Билеты стоят 12 500 рублей. Она сказала:
«только не утром». Мы остановимся в гостинице Космос на 3 ночи, и это нам очень нравится, потому что она не
далеко от центра."""
GREEK = "Η Μαρία Παπαδοπούλου θα πάει στην Αθήνα με 3 φίλους. Το ξενοδοχείο κοστίζει 1.200 ευρώ και είναι κοντά."
JAPANESE = "田中さんは東京で会議を開きます。予算は5万円です。「朝は早すぎる」と言いました。PostgreSQL 16を使います。"
SPANISH = """Quiero vender mi coche en Sevilla por 7.800 euros. Lo compró Javier Molina en 2016 con 45.000 km. Dijo: «no
acepto menos». La revisión es el 12 de abril a las 9:15 en el taller, y no se puede cambiar la fecha."""

FAITHFUL = [
    (ENGLISH, "Maria Lopez goes to Berlin on 17.05.2024 with a budget of 1.500 € and 3 people; 2 million live there."),
    (ENGLISH, "The user plans Maria's trip (2024-05-17, 1 500 EUR). ICE 577 leaves at 10.30 and costs 89,90."),
    (ENGLISH, "Maria said “I hate … trains”. ESA's Dr. Novak joins in Halle.\n\n1. Berlin\n2. Halle\n- the portal"),
    (ENGLISH, "# The Trip And Its Costs\nTravel: Maria takes ICE 577.\n**Open Questions**\nA seat on Monday in May."),
    (ENGLISH, "They want to save money. It is not clear who pays. However, PostgreSQL has 3.141.592 rows."),
    (GERMAN, "Die Nutzerin plant den Umzug von Frau Schneider nach Köln. Offen sind die Angebote der Speditionen, eine "
     "Entscheidung über den Termin und die Höhe der Kosten: 1250,50 € im Monat bis Ende Dezember 2025."),
    (GERMAN, "Im Gespräch ging es um den Vertrag mit der Firma Nordwind, den Petra Albrecht schrieb. „Die Miete ist zu "
     "hoch“, meinte Frau Schneider. Als nächster Schritt werden für den Umzug 3 Angebote eingeholt; der Besuch ist am "
     "03.06. um 9:30 Uhr in der Hauptstraße 12. Fragen nach Versicherung und Verpackung wurden nicht gestellt."),
    (GERMAN, "Der Assistent hat der Kundin mit Ratschlägen zur Kündigung geholfen. Die Laufzeit ist das Problem, und "
     "eine Lösung für die Wohnung in Köln ist noch nicht in Sicht. Ihr Wunsch ist ein Preisnachlass."),
    (FRENCH, "Claire Dubois réserve une salle à Lyon pour 25 personnes (2.400 €, 96 € par personne) et ne veut « pas "
     "de vin rouge ». La livraison du traiteur Mirabelle est à 19:30, le 05/03."),
    (RUSSIAN, "Пользователь едет в Москву с Анной Петровой; билеты стоят 12.500 рублей. Анна Петрова сказала „только "
     "не утром“. В Москве они остановятся в Космосе на 3 ночи."),
    (GREEK, "Η Μαρία Παπαδοπούλου ταξιδεύει στην Αθήνα με τρεις φίλους και πληρώνει 1200 ευρώ για το ξενοδοχείο."),
    (JAPANESE, "田中さんの会議は東京で、予算は50,000円。「早すぎる」とのこと。データベースはPostgreSQL 16。"),
    (SPANISH, "El coche de Sevilla se vende por 7800 euros; Javier Molina lo compró en 2016 con 45 000 km y dijo «no "
     "acepto menos». La revisión es el 12/04 a las 9.15."),
]  # fmt: skip

FALSE = [
    (ENGLISH, "Maria Gomez travels to Berlin.", "name", "Gomez"),
    (ENGLISH, "Paula Lopez travels to Berlin.", "name", "Paula"),
    (ENGLISH, "They all go to Munich.", "name", "Munich"),
    (ENGLISH, "MariaDB runs the portal.", "name", "MariaDB"),
    (ENGLISH, "Dr. Novak of UNICEF joins.", "name", "UNICEF"),
    (ENGLISH, "The budget is 1,600 euros.", "number", "1,600"),
    (ENGLISH, "The budget is 1 600 euros.", "number", "1 600"),
    (ENGLISH, "The budget is 1500 thousand euros.", "number", "1500"),
    (ENGLISH, "It costs 98.90.", "number", "98.90"),
    (ENGLISH, "It leaves at 10:45.", "number", "45"),
    (ENGLISH, "It is on 18.05.2024.", "number", "18.05.2024"),
    (ENGLISH, "There are ٧ people.", "number", "7"),
    (ENGLISH, "She said “I love early trains”.", "quotation", "I love early trains"),
    (ENGLISH, 'She said "trains early".', "quotation", "trains early"),
    (GERMAN, "Der Vertrag, den Petra Albers geschrieben hat, gilt für die Wohnung in Köln und ist noch nicht zu Ende.",
     "name", "Albers"),
    (GERMAN, "Der Vertrag, den Frau Schuster geschrieben hat, gilt für die Wohnung in Köln und ist noch nicht zu Ende.",
     "name", "Schuster"),
    (GERMAN, "Der Vertrag läuft bis zum 29.12.2025, und sie sagte: »Die Miete ist zu hoch.«", "number", "29.12.2025"),
    (GERMAN, "Sie sagte: „Die Miete ist zu niedrig.“", "quotation", "Die Miete ist zu niedrig."),
    (FRENCH, "La salle à Nantes est pour elle et pour le traiteur avec qui il est en contact.", "name", "Nantes"),
    (FRENCH, "Elle a dit : « pas de vin blanc ».", "quotation", "pas de vin blanc"),
    (RUSSIAN, "Они поедут в Казань.", "name", "Казань"),
    (GREEK, "Η Μαρία πηγαίνει στη Θεσσαλονίκη.", "name", "Θεσσαλονίκη"),
    (JAPANESE, "予算は6万円です。", "number", "6"),
    (JAPANESE, "「夜は早すぎる」と言いました。", "quotation", "夜は早すぎる"),
    (SPANISH, "Lo compró Javier Medina.", "name", "Medina"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "text"), FAITHFUL)
def test_a_faithful_text_in_other_words_is_let_pass(source: str, text: str) -> None:
    assert unfounded(text, [source]) == ()


@pytest.mark.parametrize(("source", "text", "kind", "what"), FALSE)
def test_what_stands_nowhere_is_found(source: str, text: str, kind: str, what: str) -> None:
    assert [(found.kind, found.text) for found in unfounded(text, [source])] == [(kind, what)]


def test_every_source_counts_and_each_thing_is_told_once() -> None:
    assert unfounded("They met Novak in Halle.", ["Novak called.", "He is in Halle."]) == ()
    assert [
        str(found) for found in unfounded("They met Novak, and later Novak again, 7 times of 7.", ["He called."])
    ] == [
        "number “7”",
        "name “Novak”",
    ]


SENTENCES = [sentence for text in (ENGLISH, FRENCH, RUSSIAN, SPANISH, GERMAN) for sentence in text.split("\n")]


@given(st.lists(st.sampled_from(SENTENCES), min_size=1, max_size=12), st.integers(0, 1000))
def test_law_an_extract_of_whole_lines_has_nothing_unfounded_but_quotations_cut_apart(
    lines: list[str], seed: int
) -> None:
    random.Random(seed).shuffle(lines)  # noqa: S311 - no secret
    assert [found for found in unfounded("\n".join(lines), ["\n".join(SENTENCES)]) if found.kind != "quotation"] == []


@given(st.integers(1, 10**12), st.sampled_from(",.' \u202f’٬_"), st.sampled_from(",.' \u202f’_"))
def test_law_a_number_is_the_same_in_every_way_of_writing(number: int, there: str, here: str) -> None:
    def written(separator: str) -> str:
        return f"{number:,}".replace(",", "" if separator == "_" else separator)

    assert unfounded(f"it was {written(here)} in all", [f"they say it is {written(there)} now"]) == ()


@given(st.integers(1, 10**20), st.integers(1, 10**20), st.sampled_from("' \u202f_"))
def test_law_another_number_is_found(number: int, other: int, separator: str) -> None:
    text = f"it was {number:,} in all".replace(",", "" if separator == "_" else separator)
    assert (unfounded(text, [f"they say it is {other} now"]) == ()) == (number == other)


@given(st.text(), st.text())
def test_law_any_text_can_be_looked_at(text: str, source: str) -> None:
    assert all(found.text for found in unfounded(text, [source]))
    assert not [found for found in unfounded(text, [source, text]) if found.kind == "number"]


def test_a_very_long_number_is_a_number() -> None:
    digits = "7" * 6000
    assert unfounded(digits, [digits]) == ()
    assert unfounded(f"{digits}.{digits}.12", ["nothing"]) != ()
