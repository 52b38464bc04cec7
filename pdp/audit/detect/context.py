"""What the house knows of people and care, by which an access is expected or not: a directory of plain files.

All files are optional; a rule that lacks its file says so. UTF-8, CSV with a header row; columns in any order, others
are ignored. Ids are those of policies and requests. Times are RFC 3339 with a zone, or a date alone: as `from` the
first instant of that day, as `to` the last, in UTC. No `from`: since ever. No `to`: still.

    entities.jsonl     one entity a line, as in a policy set's data: {"type", "id", "parents", "attributes"}.
                       Read of it: of staff (`user`) role, unit, active, on_call{unit, start, end}, studies;
                       of `Patient` care_team, location, vip, excludes, studies; of `member` patient, represents;
                       of what is a patient's: patient, labels; of `Unit` its parents
    appointments.csv   patient, staff, unit, from, to            `staff` or `unit` may be empty
    orders.csv         patient, staff, unit, from, to, kind      one row for each person or unit concerned
                                                                 (who orders, who carries out); kind: laboratory,
                                                                 medication, imaging, consult, ...
    encounters.csv     patient, staff, unit, from, to            a stay in a unit; a row with `staff` for each of its team
    claims.csv         patient, staff, unit, from, to            who works on a bill, or which unit
    schedule.csv       staff, unit, from, to, kind               kind: shift (also where empty), on-call, leave
    people.csv         type, id, surname, address, household, near
                       type: `user` or `Patient`; surname, address and household: keys that are equal where the thing
                       is (hashed, with a key of your own); near: the address keys next door, separated by spaces
    employees.csv      staff, patient                            who of the staff is which patient
    relations.csv      patient, related, kind                    two patients: guarantor, spouse, parent, proxy, ...
    terminations.csv   staff, at, kind                           kind: left (also where empty), role-changed
    patients.csv       patient, vip, deceased, discharged        vip: true or false; the others: times, empty if not
    services.csv       service, client, action, resource_type    calls that there ought to be; `*` or empty: any
    reviews.csv        staff, patient, at, reason                emergency accesses that were looked at
"""
