from uuid import UUID, uuid4

from app.ids import is_foreign, new_id, parse_id


def test_ids_sort_in_the_order_they_were_made():
    made = [new_id() for _ in range(1000)]
    assert sorted(made) == made
    assert all(isinstance(made_id, UUID) and made_id.version == 7 for made_id in made)


def test_only_the_canonical_spelling_is_an_id():
    one = new_id()
    assert parse_id(str(one)) == one
    odd = (one.hex, f"{{{one}}}", f"urn:uuid:{one}", f"urn:{one.hex}", "", "chat-1", "x" * 36)
    for spelling in odd:
        assert parse_id(spelling) is None


def test_an_id_of_another_kind_is_somebody_elses():
    assert not is_foreign(new_id())
    assert is_foreign(uuid4())
    assert is_foreign(UUID(int=0))
