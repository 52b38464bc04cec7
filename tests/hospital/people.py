"""Who there is: units, households, staff and patients with the records that are kept of them. All drawn by seed."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Final

from tests.hospital.names import surnames

WARD, CLINIC, EMERGENCY, DESK = "ward", "clinic", "emergency", "desk"
UNITS: Final = (
    ("emergency", EMERGENCY),
    ("office", DESK),
    ("medicine-1", WARD),
    ("clinic-1", CLINIC),
    ("psychiatry", WARD),
    ("icu", WARD),
    ("surgery-1", WARD),
    ("clinic-2", CLINIC),
    ("infectious", WARD),
    ("pediatrics", WARD),
    ("cardiology", WARD),
    ("maternity", WARD),
    ("oncology", WARD),
    ("clinic-3", CLINIC),
    ("medicine-2", WARD),
    ("surgery-2", WARD),
    ("neurology", WARD),
    ("orthopedics", WARD),
    ("clinic-4", CLINIC),
    ("pharmacy", DESK),
)
"""In the order in which a hospital gets them as it grows."""
LABELS: Final = {"psychiatry": ("PSY", "MH"), "infectious": ("HIV",), "oncology": ("GDIS",)}
"""What the records of a speciality may be marked with."""
PURPOSES: Final = {
    "physician": ("TREAT", "COC", "ETREAT", "BTG"),
    "nurse": ("TREAT", "COC", "ETREAT", "BTG"),
    "trainee": ("TREAT", "COC", "ETREAT", "BTG"),
    "therapist": ("TREAT", "COC"),
    "pharmacist": ("TREAT",),
    "registrar": ("HOPERAT", "TREAT"),
    "billing": ("HPAYMT", "COVERAGE"),
    "researcher": ("HRESCH", "CLINTRCH", "TREAT"),
    "privacy_officer": ("HCOMPL", "HOPERAT"),
}
CLINICIANS: Final = ("physician", "nurse", "trainee", "therapist")
EVERY_PURPOSE: Final = ("HRESCH", "MLTRAINING", "HOPERAT")
"""What whoever provisions accounts gives to too many: purposes that drift."""


@dataclass(frozen=True, slots=True)
class Size:
    """How large, and for how long."""

    staff: int = 600
    units: int = 20
    patients: int = 8_000
    days: int = 30
    pace: float = 2.2
    """Charts that a clinician opens in an hour on shift."""
    instances: int = 6
    """Of each kind of misuse."""
    results: int = 2_400
    """Calls of the laboratory's service in a day."""
    noise: float = 1.0
    """How often what is legitimate cannot be told from the records of care, as a multiple of `traffic`'s rates."""


FULL: Final = Size()
SMALL: Final = Size(staff=60, units=8, patients=700, days=14, pace=1.2, instances=2, results=60)


@dataclass(frozen=True, slots=True)
class Unit:
    id: str
    kind: str


@dataclass(slots=True)
class Home:
    """`street` and `number`: next door is two numbers on."""

    id: str
    street: int
    number: int


@dataclass(slots=True)
class Patient:
    id: str
    surname: str
    home: Home
    vip: bool = False
    deceased: int | None = None  # the day; before the first one it is negative
    labels: tuple[str, ...] = ()
    records: list[str] = field(default_factory=list)
    observations: list[str] = field(default_factory=list)
    prescriptions: list[str] = field(default_factory=list)
    claims: list[str] = field(default_factory=list)
    sensitive: list[str] = field(default_factory=list)  # those of the above that are marked
    restricted: str = ""  # one that only the physicians of the care team read
    excludes: tuple[str, ...] = ()
    study: bool = False
    staff: str = ""  # who of the staff this is


@dataclass(slots=True)
class Staff:
    id: str
    role: str
    unit: Unit
    surname: str
    home: Home
    pattern: str  # "day", "evening", "night" or "office"
    patient: str = ""  # the own chart
    left: int | None = None  # the day on which employment ended
    locked: bool = False  # the account was closed as well
    lapsed: bool = False  # the yearly training
    purposes: tuple[str, ...] = ()
    share: float = 1.0  # of the pace: some look at more


@dataclass(frozen=True, slots=True)
class Service:
    id: str
    writes: tuple[str, ...]
    purposes: tuple[str, ...]
    client: str
    partner: bool = False
    cleared: bool = True
    listed: bool = True  # in the inventory


SERVICES: Final = (
    Service("lab-gateway", ("Observation",), ("TREAT",), "lab-host"),
    Service("reminders", (), ("HOPERAT",), "reminder-host"),
    Service("insurer", (), ("HPAYMT",), "plan-host", partner=True),
)


@dataclass
class People:
    units: list[Unit]
    staff: list[Staff]
    patients: list[Patient]
    members: dict[str, str]  # portal account -> patient
    represents: dict[str, str]  # portal account -> another patient

    def __post_init__(self) -> None:
        self.patient = {each.id: each for each in self.patients}
        self.of_staff = {each.id: each for each in self.staff}
        self.by_home: dict[str, list[Patient]] = {}
        for each in self.patients:
            self.by_home.setdefault(each.home.id, []).append(each)

    def with_role(self, *roles: str) -> list[Staff]:
        return [each for each in self.staff if each.role in roles]


def people(size: Size, seed: int) -> People:
    random = Random(f"{seed} people")
    units = [Unit(*each) for each in UNITS[: size.units]]
    persons = _persons(size, random)
    staff = _staff(size, units, persons, random)
    patients = _patients(size, persons, staff, random)
    members = {f"m{each.id[1:]}": each.id for each in patients if random.random() < 0.3 and each.deceased is None}
    represents = _represented(members, patients, random)
    made = People(units, staff, patients, members, represents)
    _excluded(made, random)
    _leavers(size, made, random)
    return made


def _persons(size: Size, random: Random) -> list[tuple[str, Home, bool]]:
    """Surname, home, adult; household by household, so that neighbours have neighbouring numbers."""
    pool = surnames(max(40, (size.patients + size.staff) // 8), random)
    weights = [1 / (rank + 8) for rank in range(len(pool))]
    made: list[tuple[str, Home, bool]] = []
    wanted = size.patients + size.staff
    house = 0
    while len(made) < wanted:
        home = Home(f"h{house}", house // 60, 2 * (house % 60) + 1)
        house += 1
        [name] = random.choices(pool, weights)
        for number in range(random.choices((1, 2, 3, 4, 5), (28, 34, 16, 15, 7))[0]):
            other = random.choices(pool, weights)[0] if random.random() < 0.15 else name
            made.append((other, home, number < 2))
    return made[:wanted]


_ROLES: Final = (
    ("nurse", 0.46),
    ("physician", 0.20),
    ("trainee", 0.07),
    ("therapist", 0.05),
    ("pharmacist", 0.04),
    ("registrar", 0.08),
    ("billing", 0.06),
    ("researcher", 0.03),
    ("privacy_officer", 0.01),
)


def _staff(size: Size, units: list[Unit], persons: list[tuple[str, Home, bool]], random: Random) -> list[Staff]:
    roles = [role for role, share in _ROLES for _ in range(max(1, round(share * size.staff)))]
    roles = (roles + ["nurse"] * size.staff)[: size.staff]
    adults = [number for number, each in enumerate(persons) if each[2]]
    chosen = random.sample(adults, size.staff)
    desk = next(each for each in units if each.id == "office")
    pharmacy = next((each for each in units if each.id == "pharmacy"), desk)
    clinical = [each for each in units if each.kind != DESK]
    nursing = [each for each in clinical for _ in range({CLINIC: 1, EMERGENCY: 4}.get(each.kind, 3))]
    made = []
    counts: dict[str, int] = {}
    for number, (role, person) in enumerate(zip(roles, chosen, strict=True)):
        surname, home, _ = persons[person]
        turn = counts[role] = counts.get(role, -1) + 1
        if role == "nurse":
            unit = nursing[turn % len(nursing)]
        elif role in CLINICIANS:
            unit = clinical[turn % len(clinical)]
        else:
            unit = pharmacy if role == "pharmacist" else desk
        pattern = "office"
        if unit.kind in (WARD, EMERGENCY) and role in ("nurse", "trainee"):
            pattern = ("day", "day", "evening", "night")[(turn // max(1, len(nursing))) % 4]
        if unit.kind == EMERGENCY and role == "physician":
            pattern = ("day", "evening", "night")[turn // len(clinical) % 3]
        staff = Staff(f"u{1_000 + number}", role, unit, surname, home, pattern)
        staff.purposes = PURPOSES[role] + (EVERY_PURPOSE if random.random() < 0.3 else ())
        staff.share = min(2.2, max(0.4, random.lognormvariate(0, 0.3)))
        staff.lapsed = role not in ("privacy_officer", "physician") and random.random() < 0.01
        staff.patient = str(person)  # Whose chart is whose is settled once patients have ids.
        made.append(staff)
    return made


def _patients(size: Size, persons: list[tuple[str, Home, bool]], staff: list[Staff], random: Random) -> list[Patient]:
    working = {int(each.patient): each for each in staff}
    treated = [number for number in range(len(persons)) if number not in working or random.random() < 0.55][
        : size.patients
    ]
    for each in staff:
        each.patient = ""
    order = list(range(len(treated)))
    random.shuffle(order)  # Ids say nothing about who lives with whom.
    made = []
    for person, number in zip(treated, order, strict=True):
        surname, home, _ = persons[person]
        patient = Patient(f"p{100_000 + number}", surname, home)
        if person in working:
            patient.staff, working[person].patient = working[person].id, patient.id
        made.append(patient)
    made.sort(key=lambda each: each.id)
    for patient in made:
        _described(patient, random)
    return made


def _described(patient: Patient, random: Random) -> None:
    key = patient.id[1:]
    patient.vip = not patient.staff and random.random() < 0.004
    if not patient.staff and not patient.vip and random.random() < 0.02:
        patient.deceased = -random.randrange(40, 700)
    patient.study = random.random() < 0.05
    patient.records = [f"r{key}-{each}" for each in range(random.randint(3, 5))]
    patient.observations = [f"o{key}-{each}" for each in range(random.randint(3, 5))]
    patient.prescriptions = [f"x{key}-{each}" for each in range(random.randint(1, 2))]
    patient.claims = [f"c{key}-{each}" for each in range(random.randint(1, 2))]
    if random.random() < 0.09:
        patient.labels = random.choice(((*LABELS["psychiatry"],), LABELS["infectious"], LABELS["oncology"], ("SUD",)))
        documents = patient.records + patient.observations
        patient.sensitive = sorted(random.sample(documents, 2))
    if random.random() < 0.06:
        patient.restricted = next((each for each in patient.records if each not in patient.sensitive), "")


def _represented(members: dict[str, str], patients: list[Patient], random: Random) -> dict[str, str]:
    """One in ten portal accounts also stands for somebody of the same household."""
    homes: dict[str, list[str]] = {}
    for each in patients:
        homes.setdefault(each.home.id, []).append(each.id)
    home = {each.id: each.home.id for each in patients}
    found = {}
    for member, patient in members.items():
        others = [each for each in homes[home[patient]] if each != patient]
        if others and random.random() < 0.1:
            found[member] = random.choice(others)
    return found


def _excluded(made: People, random: Random) -> None:
    """A few keep a member of the staff away."""
    clinicians = made.with_role("nurse", "physician")
    for patient in made.patients:
        if random.random() < 0.01:
            patient.excludes = (random.choice(clinicians).id,)


def _leavers(size: Size, made: People, random: Random) -> None:
    """Some leave within the time; of half of them the account is closed at once, of the others it is forgotten."""
    clinicians = made.with_role("nurse", "physician", "trainee")
    for number, staff in enumerate(random.sample(clinicians, min(len(clinicians), size.instances * 2))):
        staff.left = random.randrange(size.days // 3, size.days * 3 // 4)
        staff.locked = number % 3 == 2
