"""What an ordinary day asks: accesses that follow from care, and the noise that every hospital has."""

from __future__ import annotations

from random import Random
from typing import Final

from tests.hospital.asks import SECOND, Ask, document, opened, user, workstation
from tests.hospital.care import Care
from tests.hospital.people import CLINICIANS, EMERGENCY, Patient, People, Size, Staff
from tests.hospital.roster import DAY, HOUR, Roster, Shift

WRONG_PATIENT: Final = 0.003
"""Of the charts opened: a click beside, closed at once."""
UNEXPLAINED: Final = 0.004
"""Of the charts opened: legitimate, and nothing on record says why (a question on the phone, teaching)."""
COVER: Final = 0.01
CALLS: Final = 0.02
"""Of those whom the front desk looks for: they call, and nothing is planned for them."""
LATE: Final = 0.02
"""Of the charts opened in emergency: of somebody whom the systems do not know to be there yet."""
INBOX: Final = 0.15
"""Of the physicians who worked: read on in the evening, from home."""
OVERTIME: Final = 0.06
DESK_PACE: Final = {"registrar": 1.3, "billing": 1.6, "pharmacist": 2.0, "researcher": 0.5, "privacy_officer": 0.8}


class Traffic:
    """One hospital's. Each day is drawn by itself: the same seed and day give the same questions."""

    def __init__(self, size: Size, people: People, roster: Roster, care: Care, seed: int) -> None:
        self.size, self.people, self.roster, self.care, self.seed = size, people, roster, care, seed
        self._living = [each for each in people.patients if each.deceased is None]
        self._participants = [each for each in self._living if each.study]
        self._emergency = next(each.id for each in people.units if each.kind == EMERGENCY)
        self._names: dict[str, list[Patient]] = {}
        for each in self._living:
            self._names.setdefault(each.surname, []).append(each)

    def day(self, day: int) -> list[Ask]:
        """What begins on this day; some of it goes on after midnight."""
        random = Random(f"{self.seed} day {day}")
        made: list[Ask] = []
        for shift in self.roster.by_day.get(day, ()):
            staff = self.people.of_staff[shift.staff]
            if shift.on_call:
                made += self._called(staff, shift, random)
            elif staff.role in CLINICIANS:
                made += self._clinician(staff, shift, random)
            else:
                made += self._desk(staff, shift, random)
            if staff.role == "physician" and not shift.on_call and random.random() < INBOX:
                made += self._inbox(staff, shift, random)
        made += self._services(day, random)
        made += self._portal(day, random)
        return made

    # ------------------------------------------------------------------------------------------------ who treats

    def _clinician(self, staff: Staff, shift: Shift, random: Random) -> list[Ask]:
        expected = self._expected(staff, shift, random)
        expected = [each for each in expected if not self._own(staff, each)]
        client = workstation(shift.unit, random.randrange(1_000))
        if staff.lapsed and shift.start < 2 * DAY:  # The training is caught up on the third day.
            return self._locked_out(staff, expected, shift, client, random)
        made: list[Ask] = []
        for at in self._moments(staff, shift, self.size.pace, random):
            if random.random() < 0.05:
                client = workstation(shift.unit, random.randrange(1_000))
            made += self._one(staff, shift, expected, at, client, random)
        return made

    def _one(
        self, staff: Staff, shift: Shift, expected: list[Patient], at: float, client: str, random: Random
    ) -> list[Ask]:
        chance = random.random()
        purpose = "TREAT" if random.random() < 0.6 else ""
        unexplained, cover, late = (rate * self.size.noise for rate in (UNEXPLAINED, COVER, LATE))
        if chance < unexplained or not expected:
            if not expected and random.random() < 0.8:
                return []
            other = random.choice(self._living)
            return [] if self._own(staff, other) else opened(staff, other, at, random, client, purpose, 0.3)
        if chance < unexplained + cover and staff.role == "physician":
            patient = self._colleagues(staff, shift, random)
            return opened(staff, patient, at, random, client, purpose) if patient else []
        if shift.unit == self._emergency and chance < unexplained + cover + late:
            arriving = self._arriving(at)
            if arriving:
                urgent = random.choice(("ETREAT", "ETREAT", "BTG"))
                return opened(staff, random.choice(arriving), at, random, client, urgent)
        patient = random.choice(expected)
        made = opened(staff, patient, at, random, client, purpose)
        if chance > 1 - WRONG_PATIENT * self.size.noise:
            wrong = self._beside(patient, random).id
            made.insert(0, user(staff, "list", "Chart", wrong, wrong, at - 20, client, purpose))
        return made

    def _own(self, staff: Staff, patient: Patient) -> bool:
        """The own chart, or that of the household: whoever works here leaves these to others."""
        return patient.id == staff.patient or patient.home.id == staff.home.id

    def _expected(self, staff: Staff, shift: Shift, random: Random) -> list[Patient]:
        """Who is likely to be looked at on this shift; who is there more often is there more often."""
        stays = self.care.here(shift.unit, shift.start, shift.end)
        visits = self.care.visits.get((staff.id, shift.start // DAY), [])
        day = shift.start // DAY
        if staff.role == "nurse":
            near = [each.patient for each in stays]
            mine = random.sample(near, min(len(near), 5))
            return mine * 5 + near + self._of_clinic(shift, random)
        if staff.role == "trainee":
            return [each.patient for each in stays] + self._of_clinic(shift, random)
        mine = [each.patient for each in stays if staff.id in each.team]
        mine += [each.patient for each in self.care.treated_by(staff.id, shift.start, shift.end)]
        found = mine * 4 + [each.patient for each in stays] + [each.patient for each in visits] * 3
        found += [each.patient for each in self.care.visits.get((staff.id, day + 1), [])]
        found += [each.patient for each in self.care.visits.get((staff.id, day - 1), [])]
        asked = self.care.consults.get(staff.id, ())
        return found + [each.patient for each in asked if each.at <= shift.end and shift.start - each.at < DAY] * 2

    def _of_clinic(self, shift: Shift, random: Random) -> list[Patient]:
        """Nurses and trainees of a clinic see whoever comes there today."""
        return [each.patient for each in self.care.visits_on.get(shift.start // DAY, ()) if each.unit == shift.unit]

    def _colleagues(self, staff: Staff, shift: Shift, random: Random) -> Patient | None:
        day = shift.start // DAY
        near = [
            each.patient
            for before in (day - 1, day - 2)
            for each in self.care.visits_on.get(before, ())
            if each.unit == staff.unit.id and each.staff != staff.id
        ]
        return random.choice(near) if near else None

    def _arriving(self, at: float) -> list[Patient]:
        """In the emergency department, and not registered there yet."""
        day = self.care.arrivals.get(int(at // DAY), ())
        return [each.patient for each in day if each.unit == self._emergency and each.start <= at < each.recorded]

    def _beside(self, patient: Patient, random: Random) -> Patient:
        """Of the same name, or with the next id."""
        if random.random() < 0.5 and len(self._names[patient.surname]) > 1:
            return random.choice(self._names[patient.surname])
        found = self.people.patient.get(f"p{int(patient.id[1:]) + random.choice((-1, 1))}")
        return found or patient

    def _called(self, staff: Staff, shift: Shift, random: Random) -> list[Ask]:
        """A night on call: some calls, from home or the ward."""
        made = []
        for _ in range(random.choice((0, 1, 2, 3, 5))):
            at = random.uniform(shift.start, shift.end - HOUR)
            stays = self.care.here(shift.unit, int(at), int(at) + 1)
            if stays:
                patient = random.choice(stays).patient
                client = workstation(shift.unit, random.randrange(1_000)) if random.random() < 0.5 else "remote"
                made += opened(staff, patient, at, random, client, random.choice(("TREAT", "", "ETREAT")))
        return made

    def _inbox(self, staff: Staff, shift: Shift, random: Random) -> list[Ask]:
        """Results and letters of the own patients, read at home after the shift."""
        day = shift.start // DAY
        mine = [each.patient for back in (0, 1, 3) for each in self.care.visits.get((staff.id, day - back), ())]
        mine += [each.patient for each in self.care.treated_by(staff.id, shift.start, shift.end)]
        mine = [each for each in mine if not self._own(staff, each)]
        if not mine:
            return []
        start = shift.end + random.uniform(2, 4.5) * HOUR
        made = []
        for number in range(random.randint(2, 6)):
            made += opened(staff, random.choice(mine), start + number * random.uniform(120, 400), random, "remote")
        return made

    def _locked_out(
        self, staff: Staff, expected: list[Patient], shift: Shift, client: str, random: Random
    ) -> list[Ask]:
        """The yearly training has lapsed: tries, is refused, gives up."""
        at = shift.start + random.uniform(300, 3_000)
        made = []
        for _ in range(random.randint(3, 7)):
            at += random.uniform(20, 300)
            if expected:
                patient = random.choice(expected)
                made.append(user(staff, "list", "Chart", patient.id, patient.id, at, client, ""))
        return made

    def _moments(self, staff: Staff, shift: Shift, pace: float, random: Random) -> list[float]:
        end = shift.end + (random.uniform(0, 40 * 60) if random.random() < OVERTIME else 0)
        at, made = shift.start + random.uniform(0, 1_800), []
        rate = pace * staff.share / HOUR
        while (at := at + random.expovariate(rate)) < end:
            made.append(at)
        return made

    # ------------------------------------------------------------------------------------------------- the desks

    def _desk(self, staff: Staff, shift: Shift, random: Random) -> list[Ask]:
        client = workstation(shift.unit, random.randrange(1_000))
        if staff.lapsed and shift.start < 2 * DAY:
            return self._locked_out(staff, random.choices(self._living, k=5), shift, client, random)
        pace = DESK_PACE[staff.role] * self.size.pace
        moments = self._moments(staff, shift, pace, random)
        day = shift.start // DAY
        if staff.role == "registrar":
            return self._registrar(staff, day, moments, client, random)
        if staff.role == "pharmacist":
            orders = [each for back in (0, 1) for each in self.care.ordered_on.get(day - back, ())]
            known = [(each.at, each.patient) for each in orders if each.unit == "pharmacy"]
            return self._each(staff, known, moments, client, "", random)
        if staff.role == "billing":
            work = [
                each for each in self.care.work.get(staff.id, ()) if each.start < shift.end and each.end > shift.start
            ]
            return self._each(staff, [(0, each.patient) for each in work], moments, client, "HPAYMT", random)
        if staff.role == "researcher":
            known = [(0, each) for each in self._participants]
            return self._each(staff, known, moments, client, "HRESCH", random)
        everybody = [(0, random.choice(self._living)) for _ in range(60)]
        return self._each(staff, everybody, moments, client, "HCOMPL", random)

    def _each(
        self,
        staff: Staff,
        known: list[tuple[int, Patient]],
        moments: list[float],
        client: str,
        purpose: str,
        random: Random,
    ) -> list[Ask]:
        made = []
        for at in moments:
            there = [patient for since, patient in known if since <= at and not self._own(staff, patient)]
            if there:
                made += opened(staff, random.choice(there), at, random, client, purpose, 0.45)
        return made

    def _registrar(self, staff: Staff, day: int, moments: list[float], client: str, random: Random) -> list[Ask]:
        """Whoever comes today or tomorrow, by name; and who calls about an appointment that is not made yet."""
        coming = [each.patient for more in (0, 1) for each in self.care.visits_on.get(day + more, ())]
        coming += [each.patient for each in self.care.arrivals.get(day, ())]
        coming = [each for each in coming if not self._own(staff, each)]
        made = []
        for at in moments:
            made.append(user(staff, "search", "Directory", "patients", "", at - 15, client, ""))
            if not coming or random.random() < CALLS * self.size.noise:
                made += opened(staff, random.choice(self._living), at, random, client, "HOPERAT", 0.1)
            else:
                made += opened(staff, random.choice(coming), at, random, client, "HOPERAT", 0.1)
        return made

    # ------------------------------------------------------------------------------- programs, and patients themselves

    def _services(self, day: int, random: Random) -> list[Ask]:
        made = []
        orders = [
            each for back in (0, 1) for each in self.care.ordered_on.get(day - back, ()) if each.unit == "laboratory"
        ]
        for number in range(self.size.results if orders else 0):
            at = day * DAY + (number + random.random()) * DAY / self.size.results
            patient = random.choice(orders).patient
            thing = document(patient, "Observation", random)
            made.append(_service("lab-gateway", "update", "Observation", thing, patient.id, at, "", "lab-host"))
        at = day * DAY + 18 * HOUR
        for visit in self.care.visits_on.get(day + 1, ()):
            at += random.uniform(1, 6)
            patient = visit.patient
            made.append(
                _service("reminders", "read", "Patient", patient.id, patient.id, at, "HOPERAT", "reminder-host")
            )
        for claim in self.care.claims:
            if claim.start // DAY == day and random.random() < 0.5:
                at = claim.start + random.uniform(0, 9 * HOUR)
                thing = document(claim.patient, "Claim", random)
                made.append(
                    _service("insurer", "disclose", "Claim", thing, claim.patient.id, at, "HPAYMT", "plan-host")
                )
        return made

    def _portal(self, day: int, random: Random) -> list[Ask]:
        made = []
        names = list(self.people.members)
        for _ in range(len(names) // 12):
            member = random.choice(names)
            patient = self.people.patient[self.people.members[member]]
            if member in self.people.represents and random.random() < 0.3:
                patient = self.people.patient[self.people.represents[member]]
            at = day * DAY + random.triangular(6 * HOUR, DAY, 20 * HOUR)
            if patient.id == self.people.members[member]:
                made.append(_member(member, "list", "Chart", patient.id, patient.id, at))
            for _ in range(random.randint(1, 4)):
                at += random.uniform(5, 60)
                kind = random.choice(("Record", "Observation"))
                made.append(_member(member, "read", kind, document(patient, kind, random), patient.id, at))
        return made


def _service(who: str, action: str, kind: str, thing: str, patient: str, at: float, purpose: str, client: str) -> Ask:
    return Ask(int(at * SECOND), "service", who, action, kind, thing, patient, purpose, client)


def _member(who: str, action: str, kind: str, thing: str, patient: str, at: float) -> Ask:
    return Ask(int(at * SECOND), "member", who, action, kind, thing, patient, "", "portal")
