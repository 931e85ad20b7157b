"""/conversations as a client calls it."""


def test_a_conversation_is_made_with_its_first_messages_and_read_back(client):
    made = client.create("Where is Huế?", "In central Vietnam.", tags=["travel"])
    read = client.get(f"/conversations/{made['id']}").json
    assert read == made
    assert [message["content"] for message in read["messages"]] == [
        "Where is Huế?",
        "In central Vietnam.",
    ]
    assert read["title"] == "Where is Huế?"
    assert read["preview"] == "In central Vietnam."
    assert (read["message_count"], read["tags"], read["revision"]) == (2, ["travel"], 2)
