"""On what a disclosure rests, and which of them the individual need not be told of (45 CFR 164.528(a)(1)).

A basis is a letter of 164.512, another ground that has to be accounted for, or one of the exclusions. A purpose code
(HL7 v3 PurposeOfUse) says the basis of a decision. What a code does not say clearly is accounted for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

EXCLUSIONS: Final[Mapping[str, str]] = {
    "treatment": "treatment, 164.506",
    "payment": "payment, 164.506",
    "operations": "health care operations, 164.506",
    "individual": "to the individual, 164.502(a)(1)(i)",
    "incidental": "incident to a permitted use or disclosure, 164.502",
    "authorization": "under an authorization, 164.508",
    "directory": "the facility directory, or persons involved in the care, 164.510",
    "national-security": "national security or intelligence, 164.512(k)(2)",
    "correctional": "correctional institutions and custodial situations, 164.512(k)(5)",
    "limited-data-set": "as part of a limited data set, 164.514(e)",
}

ACCOUNTED: Final[Mapping[str, str]] = {
    "hhs": "required by the Secretary of HHS, 164.502(a)(2)(ii)",
    "required-by-law": "required by law, 164.512(a)",
    "public-health": "public health activities, 164.512(b)",
    "abuse": "victims of abuse, neglect or domestic violence, 164.512(c)",
    "oversight": "health oversight activities, 164.512(d)",
    "judicial": "judicial and administrative proceedings, 164.512(e)",
    "law-enforcement": "law enforcement, 164.512(f)",
    "decedents": "coroners, medical examiners and funeral directors, 164.512(g)",
    "donation": "organ, eye or tissue donation, 164.512(h)",
    "research": "research, 164.512(i)",
    "threat": "to avert a serious threat to health or safety, 164.512(j)",
    "government": "specialised government functions, 164.512(k)",
    "workers-compensation": "workers' compensation, 164.512(l)",
    "other": "another purpose",
}

BASES: Final[Mapping[str, str]] = {**ACCOUNTED, **EXCLUSIONS}

SUSPENDABLE: Final = frozenset({"oversight", "law-enforcement"})
"""Of these the right to an accounting may be suspended for a time (164.528(a)(2))."""

_OF_PURPOSES: Final[Mapping[str, str]] = {
    "treatment": "TREAT COC ETREAT BTG ERTREAT POPHLTH",
    "payment": "HPAYMT CLMATTCH COVAUTH COVERAGE ELIGDTRM ELIGVER ENROLLM REMITADV",
    "operations": "HOPERAT CAREMGT FRAUD HACCRED HCOMPL HDM HOUTCOMS HPRGRP HQUALIMP HSYSADMIN LABELING METAMGT "
    "MEMADMIN PATADMIN PATSFTY PERFMSR RECORDMGT SYSDEV HTEST TRAIN MLTRAINING",
    "individual": "PATRQT",
    "directory": "FAMRQT HDIRECT",
    "public-health": "PUBHLTH DISASTER",
    "threat": "THREAT",
    "research": "HRESCH BIORCH CLINTRCH CLINTRCHNPC CLINTRCHPC PRECLINTRCH DSRCH POARCH TRANSRCH",
    "donation": "DONAT",
    "decedents": "HDECD",
    "government": "GOV MILCDM MILDCRG",
    "judicial": "HLEGAL",
}
PURPOSES: Final[Mapping[str, str]] = {code: basis for basis, codes in _OF_PURPOSES.items() for code in codes.split()}


def basis(purpose: str, own: Mapping[str, str] = PURPOSES) -> str:
    """Of a purpose: a key of `BASES`. "other" for a code that nobody knows, and for none."""
    return own.get(purpose, PURPOSES.get(purpose, "other"))
