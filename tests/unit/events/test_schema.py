from __future__ import annotations

import dataclasses

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from ledger.events import event as values
from ledger.events.schema import EVENT, PERSONAL_DATA, Kind, Message
from ledger.v1 import event_pb2

_TYPES = {
    FieldDescriptor.TYPE_STRING: Kind.STRING,
    FieldDescriptor.TYPE_BYTES: Kind.BYTES,
    FieldDescriptor.TYPE_FIXED64: Kind.UNSIGNED,
    FieldDescriptor.TYPE_SFIXED64: Kind.SIGNED,
    FieldDescriptor.TYPE_DOUBLE: Kind.DOUBLE,
    FieldDescriptor.TYPE_ENUM: Kind.ENUM,
    FieldDescriptor.TYPE_MESSAGE: Kind.MESSAGE,
}


def _compare(table: Message[object], descriptor: Descriptor) -> set[str]:
    """Hold a table and all below it against the schema; return the names of the messages that were seen."""
    seen = {descriptor.name}
    assert table.name == descriptor.name
    assert table.oneof == bool(descriptor.oneofs)
    assert set(table.fields) == {field.number for field in descriptor.fields}
    for field in descriptor.fields:
        row = table.fields[field.number]
        assert (row.name, row.kind, row.repeated) == (field.name, _TYPES[field.type], field.is_repeated)
        if row.members is not None and field.enum_type is not None:
            numbers = {value.number for value in field.enum_type.values}
            assert max(numbers) < 128
            assert set(row.members) | {0} == numbers
        if row.message is not None and field.message_type is not None:
            seen |= _compare(row.message, field.message_type)
    return seen


def test_tables_are_the_published_schema() -> None:
    seen = _compare(EVENT, event_pb2.Event.DESCRIPTOR) | _compare(PERSONAL_DATA, event_pb2.PersonalData.DESCRIPTOR)
    assert seen == set(event_pb2.DESCRIPTOR.message_types_by_name)


@pytest.mark.parametrize("name", sorted(set(event_pb2.DESCRIPTOR.message_types_by_name) - {"Value"}))
def test_values_have_the_fields_of_their_message(name: str) -> None:
    fields = {field.name for field in dataclasses.fields(getattr(values, name))}
    assert fields == {field.name for field in event_pb2.DESCRIPTOR.message_types_by_name[name].fields}


@pytest.mark.parametrize("name", ["Truth", "ActorType", "Outcome", "AuthMethod", "DataClassification"])
def test_enums_have_the_members_of_the_schema(name: str) -> None:
    members = {member.name: member.value for member in getattr(values, name)}
    prefix = f"{''.join(f'_{letter}' if letter.isupper() else letter for letter in name).strip('_').upper()}_"
    published = event_pb2.DESCRIPTOR.enum_types_by_name[name].values_by_name
    assert {prefix + member: number for member, number in members.items()} == {
        value.name: value.number for value in published.values()
    }
