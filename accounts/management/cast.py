"""The people and places of the demo data. The domains are reserved names (RFC 2606), so that no mail ever gets there."""

import random
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from domains import addresses


class Person(NamedTuple):
    name: str
    local: str  # the part before the @


class Language(NamedTuple):
    """Given and family names; in another script than Latin each as `name:spelling`, the latter for the address."""

    given: str
    family: str
    order: str = "{given} {family}"


# Letters that Unicode does not take apart, and the two that German office addresses write out.
_SPELT = str.maketrans(
    {"ß": "ss", "ä": "ae", "ö": "oe", "ü": "ue", "ł": "l", "đ": "d", "ı": "i", "’": "", "'": ""}
)


def spelling(name: str) -> str:
    """How a name stands in an address: “Gülşen” gives “guelsen”."""
    plain = unicodedata.normalize("NFKD", name.lower().translate(_SPELT))
    return re.sub("[^a-z0-9-]", "", plain)


def people(languages: str, chance: random.Random) -> Iterator[Person]:
    """People who speak these languages (“de de tr”: a third are Turkish names), each address once, until all are used."""
    left = {code: _everybody(LANGUAGES[code], chance) for code in dict.fromkeys(languages.split())}
    seen = set()
    while left:
        code = chance.choice([code for code in languages.split() if code in left])
        person = next(left[code], None)
        if person is None:
            del left[code]
        elif person.local not in seen:
            seen.add(person.local)
            yield person


def _everybody(language: Language, chance: random.Random) -> Iterator[Person]:
    pairs = [(given, family) for given in language.given.split() for family in language.family.split()]
    for given, family in chance.sample(pairs, len(pairs)):
        given, _, given_spelt = given.partition(":")
        family, _, family_spelt = family.partition(":")
        yield Person(
            language.order.format(given=given, family=family),
            f"{given_spelt or spelling(given)}.{family_spelt or spelling(family)}",
        )


LANGUAGES = {
    "de": Language(
        "Anna Ben Clara David Eva Felix Greta Henrik Ida Jürgen Käthe Lukas Märta Nils Ottilie Paul Rosalie Sönke Thea Uwe",
        "Albrecht Bäcker Claußen Dörfler Ehlers Förster Groß Hübner Jäger Köhler Lüders Möller Nußbaum Petersen Quast "
        "Rößler Schäfer Thöne Voß Wölk Zöllner",
    ),
    "tr": Language(
        "Ayşe Burak Cem Derya Elif Gülşen İbrahim Kağan Nazlı Ömer",
        "Aydın Çelik Demir Güneş Kılıç Özkan Şahin Yıldız",
    ),
    "pl": Language(
        "Agnieszka Bartłomiej Elżbieta Jadwiga Łukasz Małgorzata Paweł Żaneta",
        "Błaszczyk Dąbrowski Głowacki Jabłoński Krawczyk Wiśniewski Wójcik Zieliński",
    ),
    "sv": Language(
        "Åsa Björn Ebba Göran Linnéa Märit Sören", "Åkesson Bergström Hägg Lindqvist Nyström Sjöberg"
    ),
    "vi": Language("Anh Dũng Hương Linh Minh Thảo Tuấn", "Đặng Lê Nguyễn Phạm Trần Vũ", "{family} {given}"),
    "es": Language(
        "Ángel Begoña Carmen Iñaki Jesús Lucía Martín Núria Óscar Ramón Sofía Verónica",
        "Álvarez Castaño Domínguez Fernández Gómez Ibáñez López Muñoz Núñez Pérez Ruiz Sánchez",
    ),
    "pt": Language(
        "Antônio Conceição Inês João Luísa Tomás", "Araújo Gonçalves Magalhães Simões Vasconcelos"
    ),
    "fr": Language(
        "Aurélie Benoît Chloé Gaëlle Hélène Noël Zoé", "Bélanger Côté Élie Lefèvre Moreau d’Aubigné"
    ),
    "en": Language(
        "Alice Callum Daisy Ewan Freya Grace Harvey Isla Jonah Keira Liam Maisie Noah Orla Poppy Rhys",
        "Abernathy Barclay Cavendish Doyle Fitzgerald Hargreaves Kavanagh Llewellyn Maddox O’Brien Pemberton Whitaker",
    ),
    "yo": Language("Adébáyọ̀ Fọlákẹ́ Olúwaṣeun Títílayọ̀", "Adéyẹmí Ọlátúnjí Ṣóyínká"),
    "hi": Language(
        "आरव:aarav दीपिका:deepika प्रिया:priya विक्रम:vikram", "गुप्ता:gupta पटेल:patel शर्मा:sharma सिंह:singh"
    ),
    "ja": Language(
        "陽子:yoko 健太:kenta 美咲:misaki 大輔:daisuke さくら:sakura",
        "佐藤:sato 鈴木:suzuki 高橋:takahashi 渡辺:watanabe",
        "{family} {given}",
    ),
    "ar": Language(
        "محمد:mohammed فاطمة:fatima ليلى:leila عمر:omar نور:nour", "الحسن:al-hassan حداد:haddad منصور:mansour"
    ),
    "el": Language(
        "Ελένη:eleni Νίκος:nikos Σοφία:sofia Γιώργος:giorgos", "Παπαδάκης:papadakis Οικονόμου:oikonomou"
    ),
    "uk": Language(
        "Олена:olena Андрій:andrii Ірина:iryna Тарас:taras", "Шевченко:shevchenko Коваленко:kovalenko"
    ),
}

GB = 1024**3

NORDWIND = "nordwind.example"
BOOKSHOP = addresses.parse_domain("bücher-und-mehr.example")
CLINIC = "clinica-sol.example"
SCHOOL = "harbour-school.test"
TOWN_HALL = "altes-rathaus.example"
WAREHOUSE = "lager.nordwind.example"


@dataclass(frozen=True)
class Place:
    """A domain, and who has mailboxes in it."""

    name: str
    settings: dict
    size: int = 0
    languages: str = ""
    staff: tuple[Person, ...] = ()  # who are there for sure; the first have roles
    shared: tuple[Person, ...] = ()  # rooms and machines


PLACES = (
    Place(
        NORDWIND,
        {
            "description": "Nordwind Verlag, Hamburg",
            "max_mailboxes": 250,
            "max_aliases": 200,
            "quota_pool": 1536 * GB,
            "default_quota": 5 * GB,
        },
        200,
        "de de de de de tr pl sv vi el uk",
        (
            Person("Ines Hoffmann", "ines.hoffmann"),
            Person("Jens Petersen", "jens.petersen"),
            Person("Aylin Öztürk", "aylin.oeztuerk"),
            Person("Magnus Lindqvist", "magnus.lindqvist"),
            Person("Σοφία Παπαδοπούλου", "sofia.papadopoulou"),
            Person("Tom Ehlers", "tom.ehlers"),
            Person(
                "Prof. Dr. Maximiliane-Sophie Freifrau von und zu Hohenstein-Waldenburg-Schillingsfürst",
                "maximiliane-sophie.von-und-zu-hohenstein-waldenburg",
            ),
        ),
        (
            Person("Empfang", "empfang"),
            Person("Scanner 2. OG", "scanner-2og"),
            Person("Besprechungsraum Elbe", "raum.elbe"),
        ),
    ),
    Place(
        BOOKSHOP,
        {"description": "Buchhandlung in Lübeck", "default_quota": 2 * GB, "max_mailboxes": 50},
        42,
        "de de fr",
        (Person("Lea Brandt", "lea.brandt"),),
        (Person("Kasse 1", "kasse-1"), Person("Lesungen", "lesungen")),
    ),
    Place(
        CLINIC,
        {"description": "Clínica Sol, Valencia", "default_quota": 10 * GB},
        85,
        "es es es pt ar",
        (Person("Carmen Ruiz", "carmen.ruiz"),),
        (Person("Recepción", "recepcion"), Person("Urgencias 24 h", "urgencias")),
    ),
    Place(
        SCHOOL,
        {"description": "Harbour School", "default_quota": 1 * GB, "quota_pool": 120 * GB},
        60,
        "en en en yo hi ja",
        (Person("Niamh O’Keefe", "niamh.okeefe"),),
        (Person("School Office", "office"),),
    ),
    Place(
        TOWN_HALL,
        {"description": "Until the move to the new town hall", "enabled": False, "default_quota": 1 * GB},
        12,
        "de",
    ),
    Place("neubau.example", {"description": "Nobody has moved in yet", "default_quota": 3 * GB}),
    Place("nordwind-verlag.example", {"description": "The publisher's older name", "alias_of_id": NORDWIND}),
    Place(WAREHOUSE, {"description": "Has a server of its own", "transport": "relay:[192.0.2.25]:25"}),
)

# Group aliases: how many people they lead to, and the comment.
GROUPS = {
    NORDWIND: {
        "info": (3, "Was sonst niemand bekommt"),
        "presse": (2, ""),
        "lektorat": (9, "Alle im Lektorat"),
        "vertrieb": (6, ""),
        "herstellung": (4, ""),
        "rechte": (2, "Lizenzen und Übersetzungen"),
        "honorar": (2, ""),
        "verlag": (40, "Alle, die es wissen sollen"),
    },
    BOOKSHOP: {"bestellung": (4, ""), "info": (2, ""), "kinderbuch": (3, "Lesekreis am Samstag")},
    CLINIC: {"citas": (5, "Primera visita"), "laboratorio": (3, ""), "info": (2, ""), "enfermeria": (12, "")},
    SCHOOL: {
        "admissions": (3, ""),
        "governors": (5, "Meets each term"),
        "maths": (4, ""),
        "teachers": (30, ""),
    },
}

ROLES = (
    (f"jens.petersen@{NORDWIND}", "admin", (NORDWIND,)),
    (f"lea.brandt@{BOOKSHOP}", "admin", (BOOKSHOP, CLINIC)),
    (f"niamh.okeefe@{SCHOOL}", "admin", (SCHOOL,)),
    (f"magnus.lindqvist@{NORDWIND}", "admin", (None,)),
    (f"aylin.oeztuerk@{NORDWIND}", "helpdesk", (NORDWIND,)),
    (f"carmen.ruiz@{CLINIC}", "helpdesk", (CLINIC,)),
    (f"sofia.papadopoulou@{NORDWIND}", "helpdesk", (None,)),
)
SERVER_ADMIN = f"ines.hoffmann@{NORDWIND}"
LEFT = f"tom.ehlers@{NORDWIND}"
OVER_QUOTA = f"jens.petersen@{NORDWIND}"
