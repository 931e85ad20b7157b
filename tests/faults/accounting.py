"""What is stored, held against what clients heard."""

from dataclasses import dataclass

STORED = """
SELECT a.id, a.content, a.status, a.error_class, q.content AS question, q.client_message_id,
    (SELECT array_agg(l.status) FROM query_logs l WHERE l.message_id = a.id) AS ledger,
    EXISTS (SELECT FROM run_chunks k JOIN runs r ON r.id = k.run_id WHERE r.message_id = a.id)
        AS has_chunks
FROM messages a JOIN messages q ON q.conversation_id = a.conversation_id AND q.id = a.parent_id
WHERE a.role = 'assistant' AND a.user_email = :email
ORDER BY a.seq
"""


@dataclass(frozen=True)
class Loss:
    """What somebody heard of an answer beyond what is stored of it."""

    bytes: int
    seconds: float


def answers(rows, heard):
    """The stored answers to a question, oldest first."""
    found = rows.run(STORED, email=heard.email)
    return [row for row in found if row.client_message_id == heard.client_message_id]


def check(rows, heard):
    """Holds what is stored against what was heard; the loss, and the answer's row if there is one.

    Nothing acknowledged is lost or changed, nothing is stored twice, and a partial answer is a
    beginning of the whole one.
    """
    stored = answers(rows, heard)
    assert len(stored) <= 1, f"stored twice: {heard}"
    if not stored:
        assert heard.started is None, f"an acknowledged question is lost: {heard}"
        return Loss(0, 0.0), None
    (answer,) = stored
    assert answer.question == heard.question
    assert heard.started is None or heard.started["message_id"] == str(answer.id)
    assert answer.status != "streaming", f"nobody ended it: {heard}"
    assert answer.ledger == [answer.status], f"the ledger says {answer.ledger}: {heard}"
    assert not answer.has_chunks
    assert heard.expected.startswith(answer.content), f"{answer.content!r} is no beginning"
    assert heard.expected.startswith(heard.text), f"heard amiss: {heard.text!r}"
    if answer.status == "complete":
        assert answer.content == heard.expected
    if heard.is_done:
        assert heard.ending.data["message"]["content"] == answer.content == heard.text
        assert answer.status == "complete"
    return loss(heard, answer.content), answer


def loss(heard, stored):
    if len(heard.text) <= len(stored):
        return Loss(0, 0.0)
    place, moments = 0, []
    for moment, piece in heard.pieces:
        place += len(piece)
        if place > len(stored):
            moments.append(moment)
    return Loss(len(heard.text[len(stored) :].encode()), moments[-1] - moments[0])
