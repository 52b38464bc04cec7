"""Looking at what is none of one's business: people one knows, people who are known, and strangers in numbers."""

from __future__ import annotations

from collections.abc import Callable

from tests.hospital.asks import user, workstation
from tests.hospital.people import LABELS, Patient, Staff
from tests.hospital.planting import BLATANT, Planter
from tests.hospital.roster import DAY


class Snooping(Planter):
    """Its kinds; each plants one instance of a grade, or none where nobody fits."""

    def vip(self, kind: str, rule: str, grade: str, number: int) -> None:
        """Many look at somebody who is in the news."""
        vips = [each for each in self.living if each.vip]
        if not vips:
            return
        patient = vips[number % len(vips)]
        plant = self.plant(kind, rule, grade, "", patient.id)
        day = self.random.randrange(2, self.size.days - 2)
        for _ in range(max(4, self.size.staff // 30) if grade == BLATANT else 3):
            staff = self.culprit(fits=lambda each: patient.id not in self.care.related(each.id))
            if staff is None:
                return
            near = [each for each in self.shifts(staff) if day <= each.start // DAY <= day + 2]
            shift = near[0] if near else self.shift(staff)
            at, client = self.within(shift), workstation(shift.unit, self.random.randrange(1_000))
            self.ask(plant, user(staff, "list", "Chart", patient.id, patient.id, at, client, ""))
            for _ in range(self.random.randint(1, 3)):
                at += self.random.uniform(5, 40)
                thing = self.random.choice(patient.records)
                self.ask(plant, user(staff, "read", "Record", thing, patient.id, at, client, ""))

    def coworker(self, kind: str, rule: str, grade: str, _number: int) -> None:
        colleagues: dict[str, list[Patient]] = {}
        for each in self.people.staff:
            if each.patient:
                colleagues.setdefault(each.unit.id, []).append(self.people.patient[each.patient])

        def of(staff: Staff) -> list[Patient]:
            known = self.care.related(staff.id)
            near = colleagues.get(staff.unit.id, [])
            return [
                each for each in near if each.staff != staff.id and each.id not in known and not self.stays(each, staff)
            ]

        self.about_one(kind, rule, grade, lambda staff: of(staff), 5)

    def own(self, kind: str, rule: str, grade: str, _number: int) -> None:
        self.about_one(
            kind, rule, grade, lambda staff: [self.people.patient[staff.patient]] if staff.patient else [], 5
        )

    def household(self, kind: str, rule: str, grade: str, number: int) -> None:
        """Of the same home, or next door."""

        def of(staff: Staff) -> list[Patient]:
            known = self.care.related(staff.id)
            if number % 3 == 2:
                near = [
                    each
                    for each in self.living
                    if each.home.street == staff.home.street and abs(each.home.number - staff.home.number) == 2
                ]
            else:
                near = self.people.by_home.get(staff.home.id, [])
            return [
                each
                for each in near
                if each.staff != staff.id and each.id not in known and not self.stays(each, staff) and not each.vip
            ]

        self.about_one(kind, rule, grade, of, 4)

    def about_one(self, kind: str, rule: str, grade: str, of: Callable[[Staff], list[Patient]], times: int) -> None:
        """One chart, again and again or once."""
        staff = self.culprit(fits=lambda each: any(one.deceased is None for one in of(each)))
        if staff is None:
            return
        patient = self.random.choice([each for each in of(staff) if each.deceased is None])
        plant = self.plant(kind, rule, grade, staff, patient.id)
        for _ in range(times if grade == BLATANT else 1):
            at, client = self.at_work(staff)
            self.look(plant, staff, patient, at, client)

    def bulk(self, kind: str, rule: str, grade: str, _number: int) -> None:
        """Far more patients than the work needs."""
        staff = self.culprit("nurse", "physician", "billing")
        if staff is None:
            return
        plant = self.plant(kind, rule, grade, staff)
        at, client = self.at_work(staff)
        many = 220 if grade == BLATANT else 60
        for patient in self.strangers(staff, min(many, self.size.patients // 6)):
            at += self.random.uniform(3, 20) if grade == BLATANT else self.random.uniform(30, 110)
            purpose = "HPAYMT" if staff.role == "billing" else ""
            thing = self.random.choice(patient.records)
            self.ask(plant, user(staff, "read", "Record", thing, patient.id, at, client, purpose))

    def serial(self, kind: str, rule: str, grade: str, _number: int) -> None:
        """One stranger now and then, over weeks: no day stands out."""
        staff = self.culprit()
        if staff is None:
            return
        plant = self.plant(kind, rule, grade, staff)
        shifts = self.shifts(staff)
        chosen = shifts if grade == BLATANT else shifts[::2]
        wanted = self.strangers(staff, len(chosen) * (2 if grade == BLATANT else 1))
        for number, shift in enumerate(chosen):
            for patient in wanted[number :: len(chosen)]:
                client = workstation(shift.unit, self.random.randrange(1_000))
                self.look(plant, staff, patient, self.within(shift), client)

    def deceased(self, kind: str, rule: str, grade: str, _number: int) -> None:
        gone = [each for each in self.people.patients if each.deceased is not None and each.deceased < 0]
        staff = self.culprit()
        if staff is None or not gone:
            return
        plant = self.plant(kind, rule, grade, staff)
        for patient in self.random.sample(gone, min(len(gone), 6 if grade == BLATANT else 1)):
            at, client = self.at_work(staff)
            self.look(plant, staff, patient, at, client)

    def sensitive(self, kind: str, rule: str, grade: str, _number: int) -> None:
        """What is marked, of patients of another speciality."""
        staff = self.culprit("nurse", "physician", "trainee", fits=lambda each: each.unit.id not in LABELS)
        if staff is None:
            return
        known = self.care.related(staff.id)
        marked = [
            each
            for each in self.living
            if each.sensitive and "SUD" not in each.labels and each.id not in known and self.far(staff, each)
        ]
        plant = self.plant(kind, rule, grade, staff)
        for patient in self.random.sample(marked, min(len(marked), 8 if grade == BLATANT else 2)):
            at, client = self.at_work(staff)
            for thing in patient.sensitive:
                what = "Record" if thing.startswith("r") else "Observation"
                at += self.random.uniform(5, 30)
                self.ask(plant, user(staff, "read", what, thing, patient.id, at, client, ""))
