"""Misuse, planted on purpose and labelled: each kind several times, by turns blatant and subtle.

Who misuses goes on with the ordinary work beside it. Culprits are different people, so that a case has one kind.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tests.hospital.asks import SECOND, Ask, document, user, workstation
from tests.hospital.care import Care
from tests.hospital.people import People, Size
from tests.hospital.planting import BLATANT, SUBTLE, Activation, Planted, Silence
from tests.hospital.roster import DAY, HOUR, Roster
from tests.hospital.snooping import Snooping


def planted(size: Size, people: People, roster: Roster, care: Care, seed: int) -> Planted:
    planter = Misuse(size, people, roster, care, seed)
    for kind, (rule, plant) in KINDS.items():
        for number in range(size.instances):
            plant(planter, kind, rule, SUBTLE if number % 2 else BLATANT, number)
    return planter.made


class Misuse(Snooping):
    """The kinds that are about how one looks."""

    def denials(self, kind: str, rule: str, grade: str, _number: int) -> None:
        """Tries what is closed (protected people, very restricted documents), then gets in by another way."""
        staff = self.culprit("nurse", "trainee")
        if staff is None:
            return
        closed = [each for each in self.living if each.restricted and staff.id not in self.care.related(each.id)]
        targets = [each for each in self.living if each.vip] + closed
        at, client = self.at_work(staff)
        plant = self.plant(kind, rule, grade, staff)
        for _ in range(self.random.randint(30, 45) if grade == BLATANT else self.random.randint(8, 12)):
            at += self.random.uniform(5, 25) if grade == BLATANT else self.random.uniform(40, 200)
            patient = self.random.choice(targets)
            action, thing, what = (
                ("list", "Chart", patient.id) if patient.vip else ("read", "Record", patient.restricted)
            )
            self.ask(plant, user(staff, action, thing, what, patient.id, at, client, ""))
            if self.random.random() < 0.1:
                self.ask(
                    plant, user(staff, "read", "Observation", patient.observations[0], patient.id, at + 9, client, "")
                )

    def enumeration(self, kind: str, rule: str, grade: str, number: int) -> None:
        """One id after the other."""
        first = self.random.randrange(max(1, self.size.patients - 400))
        day = self.random.randrange(1, self.size.days)
        at: float = day * DAY + self.random.uniform(9, 22) * HOUR
        if number % 3 == 2:
            staff = self.culprit("registrar", "billing")
            if staff is None:
                return
            plant = self.plant(kind, rule, grade, staff)
            at, client = self.at_work(staff)
            for step in range(60 if grade == BLATANT else 25):
                at += self.random.uniform(3, 20)
                who = f"p{100_000 + first + step}"
                self.ask(plant, user(staff, "read", "Patient", who, who, at, client, ""))
            return
        member = self.random.choice(list(self.people.members))
        plant = self.plant(kind, rule, grade, member, of="member")
        for step in range(150 if grade == BLATANT else 18):
            at += self.random.uniform(1, 4) if grade == BLATANT else self.random.uniform(120, 900)
            who = f"p{100_000 + first + step * (1 if grade == BLATANT else self.random.choice((1, 1, 2)))}"
            self.ask(plant, Ask(int(at * SECOND), "member", member, "read", "Patient", who, who, "", "portal"))

    def breakglass(self, kind: str, rule: str, grade: str, number: int) -> None:
        """An emergency is claimed, and there is none: for many strangers, or for one again and again."""
        staff = self.culprit("nurse", "physician", fits=lambda each: each.unit.kind == "ward")
        if staff is None:
            return
        plant = self.plant(kind, rule, grade, staff)
        if grade == BLATANT:
            at, client = self.at_work(staff)
            for patient in self.strangers(staff, self.random.randint(14, 22)):
                at = self.look(plant, staff, patient, at + self.random.uniform(20, 300), client, "BTG")
            return
        one = self.strangers(staff, 4)
        for turn in range(6):
            at, client = self.at_work(staff)
            self.look(plant, staff, one[0 if number % 4 == 1 else turn % 4], at, client, "ETREAT")

    def offshift(self, kind: str, rule: str, grade: str, _number: int) -> None:
        """On a free day, or at night: patients of the own unit, whom nobody who is not there has to look at."""
        staff = self.culprit("nurse", "trainee", fits=lambda each: each.unit.kind == "ward" and bool(self.free(each)))
        if staff is None:
            return
        day = self.random.choice(self.free(staff))
        plant = self.plant(kind, rule, grade, staff)
        at = day * DAY + self.random.uniform(1, 22) * HOUR
        stays = self.care.here(staff.unit.id, int(at), int(at) + HOUR)
        if not stays:
            return
        for _ in range(12 if grade == BLATANT else 3):
            at += self.random.uniform(60, 500)
            self.look(plant, staff, self.random.choice(stays).patient, at, "remote")

    def terminated(self, kind: str, rule: str, grade: str, number: int) -> None:
        """Who has left still has an account that works, or tries the one that was closed."""
        gone = [each for each in self.people.staff if each.left is not None and each.left < self.size.days - 1]
        if number >= len(gone):
            return
        staff = gone[number]
        self.taken.add(staff.id)
        plant = self.plant(kind, rule, grade, staff)
        assert staff.left is not None
        at: float = (staff.left + self.random.randrange(self.size.days - staff.left)) * DAY + 20 * HOUR
        for patient in self.strangers(staff, 10 if grade == BLATANT else 2):
            at = self.look(plant, staff, patient, at + self.random.uniform(30, 300), "remote")

    def shared(self, kind: str, rule: str, grade: str, _number: int) -> None:
        """While one works here, the same account is used at another place, for what one does there."""
        wards = [each.id for each in self.people.units if each.kind == "ward"]
        staff = self.culprit("nurse", fits=lambda each: each.unit.id in wards)
        if staff is None:
            return
        plant = self.plant(kind, rule, grade, staff)
        for _ in range(4 if grade == BLATANT else 1):
            shift = self.shift(staff)
            other = self.random.choice([each for each in wards if each != shift.unit])
            client = workstation(other, self.random.randrange(1_000))
            at = self.random.uniform(shift.start + HOUR, shift.end - 3 * HOUR)
            stays = self.care.here(other, int(at), int(at) + HOUR)
            for _ in range(12 if grade == BLATANT else 5):
                at += self.random.uniform(60, 500)
                if stays:
                    self.look(plant, staff, self.random.choice(stays).patient, at, client)

    def service(self, kind: str, rule: str, grade: str, number: int) -> None:
        """A program does what it never did, comes from where it never came from, or is none that anybody knows."""
        at = self.random.randrange(3, self.size.days) * DAY + self.random.uniform(1, 5) * HOUR
        who, client, action, thing = (
            ("reminders", "ws-office-9", "read", "Patient"),
            ("reminders", "reminder-host", "read", "Record"),
            ("etl-7", "unknown-host", "read", "Record"),
            ("insurer", "plan-host", "read", "Claim"),
            ("lab-gateway", "lab-host-2", "update", "Observation"),
            ("insurer", "other-host", "disclose", "Claim"),
        )[number % 6]
        plant = self.plant(kind, rule, grade, who, of="service")
        purpose = {"reminders": "HOPERAT", "insurer": "HPAYMT"}.get(who, "")
        for _ in range(150 if grade == BLATANT else 15):
            at += self.random.uniform(1, 20)
            patient = self.random.choice(self.living)
            what = document(patient, thing, self.random)
            self.ask(plant, Ask(int(at * SECOND), "service", who, action, thing, what, patient.id, purpose, client))

    def drift(self, kind: str, rule: str, grade: str, number: int) -> None:
        """A purpose that this role does not work for."""
        staff = self.culprit("nurse", "physician", fits=lambda each: "HRESCH" in each.purposes)
        if staff is None:
            return
        plant = self.plant(kind, rule, grade, staff)
        shift = self.shift(staff)
        purpose = ("MLTRAINING", "HRESCH", "HOPERAT")[number % 3]
        stays = self.care.here(staff.unit.id, shift.start, shift.end)
        pool = [each.patient for each in stays] or self.strangers(staff, 5)
        client = workstation(shift.unit, self.random.randrange(1_000))
        for _ in range(30 if grade == BLATANT else 5):
            self.look(plant, staff, self.random.choice(pool), self.within(shift), client, purpose)

    def widened(self, kind: str, rule: str, grade: str, number: int) -> None:
        """Whoever may change the rules widens them, looks, and takes it back."""
        staff = self.culprit("registrar", "billing")
        if staff is None:
            return
        shift = self.shift(staff)
        plant = self.plant(kind, rule, grade, staff)
        at = int(self.within(shift))
        lasts = 1_500
        self.made.activations.append(Activation(at, True, f"r-{number}-wide", plant))
        self.made.activations.append(Activation(at + lasts, False, f"r-{number}-back"))
        client = workstation(shift.unit, self.random.randrange(1_000))
        moment = at + 120.0
        for patient in self.strangers(staff, 12 if grade == BLATANT else 3):
            moment += self.random.uniform(20, 80)
            self.ask(plant, user(staff, "list", "Chart", patient.id, patient.id, moment, client, "TREAT"))
            thing = self.random.choice(patient.records)
            self.ask(plant, user(staff, "read", "Record", thing, patient.id, moment + 6, client, "TREAT"))

    def excluded(self, kind: str, rule: str, grade: str, _number: int) -> None:
        """Whom a patient keeps away claims an emergency."""
        found = [
            (self.people.of_staff[each], patient)
            for patient in self.living
            for each in patient.excludes
            if each not in self.taken
            and self.people.of_staff[each].left is None
            and len(self.shifts(self.people.of_staff[each])) > 3
        ]
        if not found:
            return
        staff, patient = self.random.choice(found)
        self.taken.add(staff.id)
        plant = self.plant(kind, rule, grade, staff, patient.id)
        for _ in range(5 if grade == BLATANT else 1):
            at, client = self.at_work(staff)
            self.look(plant, staff, patient, at, client, "ETREAT")

    def silence(self, kind: str, rule: str, grade: str, number: int) -> None:
        """A worker is made to say nothing for a while."""
        day = 1 + number * (self.size.days - 2) // max(1, self.size.instances)
        start = day * DAY + int(self.random.uniform(9, 16) * HOUR)
        plant = self.plant(kind, rule, grade, "")
        self.made.silences.append(Silence(plant, number % 2, start, start + (45 * 60 if grade == BLATANT else 6 * 60)))


KINDS: Final[dict[str, tuple[str, Callable[[Misuse, str, str, str, int], None]]]] = {
    "excluded-override": ("M18", Misuse.excluded),
    "terminated": ("M14", Misuse.terminated),
    "own-chart": ("M5", Misuse.own),
    "household": ("M6", Misuse.household),
    "co-worker": ("M4", Misuse.coworker),
    "denials": ("M1", Misuse.denials),
    "enumeration": ("M2", Misuse.enumeration),
    "break-glass": ("M8", Misuse.breakglass),
    "off-shift": ("M9", Misuse.offshift),
    "bulk": ("M10", Misuse.bulk),
    "serial": ("M21", Misuse.serial),
    "deceased": ("M12", Misuse.deceased),
    "sensitive": ("M13", Misuse.sensitive),
    "shared-account": ("M15", Misuse.shared),
    "service": ("M16", Misuse.service),
    "purpose": ("M17", Misuse.drift),
    "policy-change": ("M19", Misuse.widened),
    "silence": ("M20", Misuse.silence),
    "vip": ("M3", Misuse.vip),
}
"""The rarest culprits first."""
