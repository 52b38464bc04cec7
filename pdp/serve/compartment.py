"""Whose data a request is about, as the data say it: what scopes of the level `patient` are held against.

Never from the path or the caller: a path that names a patient proves nothing about the record behind it (SEMANTICS 6).
Unknown is never "nobody's".
"""

from __future__ import annotations

from pdp.identity.scopes import Smart
from pdp.language.schema import Schema
from pdp.language.types import EntityType
from pdp.model.entities import Entities
from pdp.model.value import Entity, entity, entity_id, entity_type


def patient_of(smart: Smart, resource_type: str, resource_id: str, entities: Entities, schema: Schema) -> str:
    """The identifier of the patient; "" where it is not known. `resource_type`: wire name.

    The resource itself where it is of the patients' type; else its attribute that holds one patient, as stored.
    """
    if resource_type == smart.patient_type:
        return resource_id
    name, patient = schema.by_wire.get(resource_type), schema.by_wire.get(smart.patient_type)
    if name is None or patient is None:
        return ""
    attribute = schema.entities[name].attributes.get(smart.patient_attribute)
    if attribute is None or not attribute.stored or not isinstance(attribute.type, EntityType):
        return ""
    found = entities.rows[entity(name, resource_id)][attribute.slot]
    if not isinstance(found, str) or entity_type(Entity(found)) != patient:
        return ""
    return entity_id(Entity(found))
